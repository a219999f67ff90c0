"""A bot that says everything back, once, however often it is killed and started again.

python sdk/python/examples/bot.py [URL [CACHE]]
"""

import asyncio
import secrets
import sys
from collections.abc import Iterator

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat_client import Cache, Client, Event, Session, SqliteCache, State, StateChanged


def answer(session: Session, event: ConversationEvent) -> None:
    # The id is made of that which is answered: saying it twice changes nothing.
    session.queue(event.conversation_id, f"you said: {event.message.content}", f"echo-{event.message_id}")


def unanswered(cache: Cache, own: str) -> Iterator[ConversationEvent]:
    """What was handed to the last process, and died with it."""
    for name in cache.spans():
        events = list(reversed(cache.events(name, before=2**63, limit=1000)))
        answered = {event.client_message_id for event in events if event.sender_id == own}
        yield from (event for event in events if asks(event, own) and f"echo-{event.message_id}" not in answered)


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
            for event in unanswered(client.cache, client.user_id):
                answer(session, event)
            async for item in session:
                if item == StateChanged(State.LIVE):
                    print("live", flush=True)
                if isinstance(item, Event) and asks(item.conversation_event, client.user_id):
                    answer(session, item.conversation_event)


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080", (sys.argv[2:] or ["echo.cache"])[0]))
