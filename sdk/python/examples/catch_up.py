"""A device that was away is handed what it missed, once and in order, and says in one word where it stands.

python sdk/python/examples/catch_up.py [URL]
"""

import asyncio
import secrets
import sys

from stonechat_client import Client, Event, Session, State, StateChanged


async def sign_up(client: Client, name: str) -> None:
    await client.register(name, "correct horse")
    await client.sign_in(name, "correct horse", "catch_up.py")


async def until_live(session: Session) -> None:
    async for item in session:
        match item:
            case StateChanged(state=state):
                print(f"state: {state.value}")
                if state is State.LIVE:  # everything there is was handed over
                    return
            case Event() if item.conversation_event.HasField("message"):
                print(f"number {item.conversation_event.seq}: {item.conversation_event.message.content}")


async def main(server: str) -> None:
    run = secrets.token_hex(3)
    async with Client(server) as alice, Client(server) as bob:
        await sign_up(alice, f"alice.{run}")
        await sign_up(bob, f"bob.{run}")
        async with alice.connect() as session:
            await until_live(session)
            await session.send(bob.user_id, "I am off for lunch", "lunch")
        for number in range(1, 4):  # meanwhile
            await bob.send(alice.user_id, f"are you back? ({number})")
        async with alice.connect() as session:
            await until_live(session)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"))
