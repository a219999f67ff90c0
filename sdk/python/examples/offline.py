"""What is said without a connection waits in the cache, also when the program ends, and is delivered by the next one.

python sdk/python/examples/offline.py [URL]
"""

import asyncio
import secrets
import sys
import tempfile
from pathlib import Path

from stonechat_client import Client, Delivered, SqliteCache, State, StateChanged

NOWHERE = "http://127.0.0.1:9"  # nobody listens there: the train is in a tunnel


async def main(server: str, cache: Path) -> None:
    run = secrets.token_hex(3)
    async with Client(server) as bob, Client(server, SqliteCache(cache)) as alice:
        for client, name in ((bob, f"bob.{run}"), (alice, f"alice.{run}")):
            await client.register(name, "correct horse")
            await client.sign_in(name, "correct horse", "offline.py")
        to = bob.user_id
    async with Client(NOWHERE, SqliteCache(cache)) as alice:
        print(f"still signed in: {await alice.resume()}")
        async with alice.connect() as session:
            async for item in session:
                if isinstance(item, StateChanged) and item.state is State.OFFLINE:
                    break
            for number in range(1, 4):
                session.queue(to, f"from the tunnel ({number})")
            print(f"{session.state.value}, {len(session.queued())} messages wait")
    async with Client(server, SqliteCache(cache)) as alice:
        await alice.resume()
        async with alice.connect() as session:
            async for item in session:
                if isinstance(item, Delivered):
                    print(f"delivered as number {item.sent.seq}, {len(session.queued())} wait")
                    if not session.queued():
                        return


with tempfile.TemporaryDirectory() as folder:
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080", Path(folder) / "alice.cache"))
