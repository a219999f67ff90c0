"""The transactional outbox: a change and the record that tells of it commit together, then the record is sent.

Guarantee: a record added in a transaction that commits reaches `conversation.accepted`, after those of the same conversation
that were committed before it; a crash, or another instance that sends from the same table, only repeats it, which its key
tells the owner. Pattern: C. Richardson, "Transactional outbox", microservices.io.
"""

import asyncio
import logging
from collections.abc import Sequence

from sqlalchemy import BigInteger, Column, MetaData, Table, delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from svc.backends.sql import Sql, blob, counted_id, key_text
from svc.kernel.clock import Backoff, Clock
from svc.kernel.errors import Transient, Unavailable
from svc.kernel.eventlog import ACCEPTED, Entry, EventLog
from svc.kernel.record import Record, encode
from svc.kernel.shards import Shards

log = logging.getLogger(__name__)

_BATCH = 100
_APPEND_SECONDS = 30.0
# How soon a row is found whose instance died between commit and sending.
_LOOK_SECONDS = 5.0


def outbox_table(metadata: MetaData, name: str = "outbox") -> Table:
    """The table of an outbox, to stand in the schema of the service whose changes it tells of."""
    return Table(
        name,
        metadata,
        Column("id", counted_id(), primary_key=True, autoincrement=True),
        Column("conversation_id", key_text(64), nullable=False),
        Column("record", blob(), nullable=False),
        Column("created_us", BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


class Outbox:
    """One outbox table and what sends from it. Whoever wires it runs `run()` for as long as it lives."""

    def __init__(self, sql: Sql, table: Table, log_: EventLog, shards: Shards, clock: Clock) -> None:
        self._sql = sql
        self._table = table
        self._log = log_
        self._shards = shards
        self._clock = clock
        self._wake = asyncio.Event()
        # Transactions of this process that added records, and how many of them are known to be sent.
        self._added = 0
        self._sent = 0
        self._settled = asyncio.Condition()
        self._running = False

    async def add(self, connection: AsyncConnection, records: Sequence[Record]) -> None:
        """Add records to the caller's write transaction; they are sent in this order once it has committed.

        Records of one conversation keep the order of their transactions only if these exclude each other: take the row
        lock of what changes before.
        """
        if not records:
            return
        now_us = self._clock.now_us()
        rows = [
            {"conversation_id": record.conversation_id, "record": encode(record), "created_us": now_us}
            for record in records
        ]
        await connection.execute(insert(self._table), rows)
        self._sql.after_commit(connection, self._committed)

    async def run(self) -> None:
        """Send what is there and what comes, for ever. While the log or the database cannot answer it tries again, with
        backoff; one line is logged when that begins and one when it ends."""
        self._running = True
        try:
            await self._send_for_ever()
        finally:
            self._running = False

    async def _send_for_ever(self) -> None:
        backoff = Backoff(0.1, 30.0)
        while True:
            self._wake.clear()
            added = self._added
            try:
                sent = await self._send_batch()
            except Transient as error:
                if backoff.attempts == 0:
                    log.warning("the outbox of %s waits: %s", self._sql.name, error)
                await self._clock.sleep(backoff.next_delay())
                continue
            if backoff.attempts:
                log.info("the outbox of %s sends again", self._sql.name)
                backoff.reset()
            if not sent:
                async with self._settled:
                    self._sent = added
                    self._settled.notify_all()
                await self._woken()

    async def settled(self, seconds: float) -> None:
        """Until what was committed so far is in the log, but no longer than that: it is sent in any case. Returns at once
        while nothing runs that would send it."""
        if not self._running:
            return
        added = self._added
        try:
            async with asyncio.timeout(seconds), self._settled:
                await self._settled.wait_for(lambda: self._sent >= added)
        except TimeoutError:
            pass

    async def pending(self) -> int:
        """How many records wait to be sent. Raises Unavailable."""
        async with self._sql.read() as connection:
            return int((await connection.execute(select(func.count()).select_from(self._table))).scalar_one())

    async def _send_batch(self) -> int:
        table = self._table
        async with self._sql.read() as connection:
            rows = (await connection.execute(select(table).order_by(table.c.id).limit(_BATCH))).all()
        if not rows:
            return 0
        # As `record.to_entry` makes it, but without decoding what was encoded here.
        entries = [
            Entry(self._shards.shards.partition_of(row.conversation_id), row.conversation_id, row.record) for row in rows
        ]
        try:
            async with asyncio.timeout(_APPEND_SECONDS):
                await self._log.append(ACCEPTED, entries)
        except TimeoutError as error:
            raise Unavailable("the log does not answer in time") from error
        async with self._sql.write() as connection:
            await connection.execute(delete(table).where(table.c.id.in_([row.id for row in rows])))
        return len(rows)

    def _committed(self) -> None:
        self._added += 1
        self._wake.set()

    async def _woken(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            pass
