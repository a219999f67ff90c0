"""Two users talk.

python sdk/python/examples/hello.py [URL]
"""

import asyncio
import secrets
import sys

from stonechat_client import Client, Event, Session, State, StateChanged, new_id


async def sign_up(client: Client, name: str) -> None:
    await client.register(name, "correct horse")
    await client.sign_in(name, "correct horse", "hello.py")


async def until_live(session: Session) -> None:
    async for item in session:
        if item == StateChanged(State.LIVE):
            return


async def next_message(session: Session) -> str:
    async for item in session:
        if isinstance(item, Event) and item.conversation_event.HasField("message"):
            return item.conversation_event.message.content
    raise EOFError("the session has ended")


async def main(server: str) -> None:
    run = secrets.token_hex(3)  # so that the example can be run again
    async with Client(server) as alice, Client(server) as bob:
        await sign_up(alice, f"alice.{run}")
        await sign_up(bob, f"bob.{run}")
        async with alice.connect() as alices, bob.connect() as bobs:
            await until_live(alices)
            await until_live(bobs)
            sent = await alices.send(bob.user_id, "hello, bob", new_id())
            print(f"stored as number {sent.seq} of their conversation")
            print(f"bob reads: {await next_message(bobs)}")
            await bobs.send(alice.user_id, "hello, alice", new_id())
            print(f"alice reads: {await next_message(alices)}")
            print(f"alice reads: {await next_message(alices)}")


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"))
