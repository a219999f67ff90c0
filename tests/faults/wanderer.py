"""A program on the client library that may be killed at any moment: its queue, its conversations and its sign-in lie in a
SQLite cache, and its ledger beside it. SIGTERM ends it well.

`python -m tests.faults.wanderer URL FOLDER NAME PASSWORD GROUP`
"""

import asyncio
import signal
import sys
import uuid
from contextlib import suppress
from pathlib import Path

from stonechat_client import Client, NotReachable, Problem, Refused, Session, State, backoff
from stonechat_client.cache import SqliteCache
from stonechat_client.ledger import FileLedger
from tests.faults.server import until

_PACE_SECONDS = 0.02


async def _listen(session: Session) -> None:
    async for item in session:
        if isinstance(item, Problem | Refused):
            raise AssertionError(item)


async def _main(url: str, folder: Path, name: str, password: str, group_id: str) -> None:
    leaving = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaving.set)
    cache, ledger = SqliteCache(folder / f"{name}.sqlite"), FileLedger(folder / f"{name}.ledger")
    async with Client(url, cache, ledger) as client:
        while not await client.resume():
            await _signed_in(client, name, password)
        async with client.connect() as session:
            listening = asyncio.create_task(_listen(session))
            while not leaving.is_set() and not listening.done():
                if len(session.queued()) < 20:
                    session.queue(group_id, f"{name} queues", uuid.uuid4().hex)
                await asyncio.sleep(_PACE_SECONDS)
            await until(lambda: listening.done() or _has_everything(client, session), "everything is sent and seen")
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening


async def _signed_in(client: Client, name: str, password: str) -> None:
    try:
        await client.sign_in(name, password, name)
    except NotReachable:
        await asyncio.sleep(_PACE_SECONDS)


async def _has_everything(client: Client, session: Session) -> bool:
    if session.queued() or session.state is not State.LIVE:
        return False
    spans = client.cache.spans()
    return all([spans[head.conversation_id].last == head.last_seq async for head in client.list_conversations()])


if __name__ == "__main__":
    backoff.BASE_SECONDS = 0.05  # a test does not wait as long as a phone should
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
