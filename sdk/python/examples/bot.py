"""A bot that says everything back, once, however often it is killed and started again.

python sdk/python/examples/bot.py [URL [CACHE]]
"""

import asyncio
import secrets
import sys

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat_client import Client, Event, Session, SqliteCache, State, StateChanged


def answer(session: Session, event: ConversationEvent) -> None:
    # The id is made of that which is answered: saying it twice changes nothing.
    session.queue(event.conversation_id, f"you said: {event.message.content}", f"echo-{event.message_id}")


def asks(event: ConversationEvent, own: str) -> bool:
    return event.message.content != "" and event.sender_id != own


async def main(server: str, cache: str) -> None:
    async with Client(server, SqliteCache(cache)) as client:
        if not await client.resume():
            name, password = f"echo.{secrets.token_hex(3)}", secrets.token_hex(16)
            await client.register(name, password)
            await client.sign_in(name, password, "bot.py")
            print(f"I am {name}: stonechat chat --user you --to {name}", flush=True)
        async with client.connect() as session:
            async for item in session:
                if item == StateChanged(State.LIVE):
                    print("live", flush=True)
                if isinstance(item, Event) and asks(item.conversation_event, client.user_id):
                    answer(session, item.conversation_event)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080", (sys.argv[2:] or ["echo.cache"])[0]))
