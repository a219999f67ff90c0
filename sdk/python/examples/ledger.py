"""A client that writes down what it was promised and what it saw, so that the server can be held to it.

python sdk/python/examples/ledger.py [URL [FILE]]
"""

import asyncio
import secrets
import sys

from stonechat_client import Client, Event, FileLedger, State, StateChanged


async def main(server: str, path: str) -> None:
    run = secrets.token_hex(3)
    async with Client(server) as bob, Client(server, ledger=FileLedger(path)) as alice:
        for client, name in ((bob, f"bob.{run}"), (alice, f"alice.{run}")):
            await client.register(name, "correct horse")
            await client.sign_in(name, "correct horse", "ledger.py")
        async with alice.connect() as session:
            async for item in session:
                if item == StateChanged(State.LIVE):
                    break
            await session.send(bob.user_id, "is this written down?", "question")
            await bob.send(alice.user_id, "word for word")
            async for item in session:
                if isinstance(item, Event) and item.conversation_event.sender_id == bob.user_id:
                    break
    print(f"Now see whether the server keeps its word: stonechat verify --ledgers {path}")


asyncio.run(
    main(
        sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080",
        sys.argv[2] if len(sys.argv) > 2 else "alice.ledger",
    )
)
