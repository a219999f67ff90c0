"""One instance of a service that changes things and tells of it by an outbox, for tests that kill it.

    python -m tests.backends.outbox_instance MYSQL_URL LOG_FILE THING…

Changes one of the things after the other, for ever, and sends from the outbox; the log is a file of lines, `THING VERSION`.
"""

import asyncio
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import insert, select, update

from svc.backends import outbox as outbox_module
from svc.backends.outbox import Outbox
from svc.backends.sql import Sql, open_sql
from svc.kernel.clock import SystemClock
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import Entry
from svc.kernel.lifecycle import owned
from svc.kernel.record import Kind, decode, from_system
from svc.kernel.shards import FixedShards, ShardMap
from tests.backends.boxes import BOXES, SCHEMA, THINGS
from tests.tables import parsed


class FileLog:
    """The part of the event log that producers use. It takes its time, before and after: that is where a kill hurts."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def append(self, topic: str, entries: Sequence[Entry]) -> Sequence[int]:
        await asyncio.sleep(random.uniform(0, 0.02))
        for entry in entries:
            record = decode(entry.value)
            os.write(self._file, f"{record.conversation_id} {record.client_message_id}\n".encode())
            await asyncio.sleep(random.uniform(0, 0.002))
        await asyncio.sleep(random.uniform(0, 0.02))
        return ()


def box(sql: Sql, log: object) -> Outbox:
    return Outbox(sql, BOXES, log, FixedShards(ShardMap.initial(5)), SystemClock())


async def change(sql: Sql, outbox: Outbox, thing: str) -> None:
    """The next version of a thing, and the record of it."""
    async with sql.write() as connection:
        query = select(THINGS.c.version).where(THINGS.c.name == thing).with_for_update()
        version = (await connection.execute(query)).scalar_one() + 1
        await connection.execute(update(THINGS).where(THINGS.c.name == thing).values(version=version))
        await outbox.add(connection, [from_system(Kind.LEFT, thing, str(version), version, b"body")])


async def make(sql: Sql, things: Sequence[str]) -> None:
    async with sql.write() as connection:
        await connection.execute(insert(THINGS), [{"name": thing, "version": 0} for thing in things])


async def main(url: str, log: Path, things: Sequence[str]) -> None:
    outbox_module.LOOK_SECONDS = 0.5
    outbox_module.LEFT_US = 300_000
    outbox_module.LEASE_US = 1_000_000
    async with open_sql(parsed(url), SCHEMA) as sql:
        outbox = box(sql, FileLog(log))
        async with owned(outbox.run(), "outbox") as sending:
            while not sending.done():
                try:
                    await change(sql, outbox, random.choice(things))
                except Unavailable as error:
                    print(error, file=sys.stderr)
                await asyncio.sleep(random.uniform(0, 0.01))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
