"""The transactional outbox: a change and the record that tells of it commit together, then the record is sent.

Guarantee: a record added in a transaction that commits reaches `conversation.accepted`, after those of the same conversation
that were committed before it. A crash, or another instance that sends from the same tables, only repeats it, which its key
tells the owner. Pattern: C. Richardson, "Transactional outbox", microservices.io.

Who sends: the instance that committed, at once. Whoever sends for a conversation sends all that lies there of it, the oldest
first, and removes it after that: so whatever several do at the same time, first appearances in the log are in order, with
nobody waiting for anybody. What an instance left that died is found by a sweep; one instance at a time sweeps, by a lease
that saves work and that order does not depend on.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from sqlalchemy import BigInteger, Column, Index, MetaData, Row, Table, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from svc.backends.sql import Sql
from svc.backends.sql_columns import blob, counted_id, key_text
from svc.kernel.clock import Backoff, Clock
from svc.kernel.errors import Transient, Unavailable
from svc.kernel.eventlog import ACCEPTED, Entry, EventLog
from svc.kernel.record import Record, encode
from svc.kernel.shards import Shards

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""How often an instance looks for what others have left: half of that to one and a half."""
LEFT_US = 2_000_000
"""How old a record is that nobody is about to send. By the clocks of two instances; a wrong one costs a repeat."""
LEASE_US = 10_000_000
_BATCH = 100
_CONVERSATIONS = 100
_APPEND_SECONDS = 30.0
# That wait to be sent by this instance; beyond that its own sweep finds them.
_MAX_DUE = 10_000


@dataclass(frozen=True, slots=True)
class OutboxTables:
    """The tables of an outbox, to stand in the schema of the service whose changes it tells of."""

    records: Table
    sweeper: Table

    @classmethod
    def of(cls, name: str, metadata: MetaData) -> Self:
        """As a migration of the service makes them."""
        records = Table(
            name,
            metadata,
            Column("id", counted_id(), primary_key=True, autoincrement=True),
            Column("conversation_id", key_text(64), nullable=False),
            Column("record", blob(), nullable=False),
            Column("created_us", BigInteger, nullable=False),
            Index(f"{name}_by_conversation", "conversation_id", "id"),
            sqlite_autoincrement=True,
        )
        sweeper = Table(
            f"{name}_sweeper",
            metadata,
            Column("outbox", key_text(32), primary_key=True),
            Column("sweeper", key_text(32), nullable=False),
            Column("until_us", BigInteger, nullable=False),
        )
        return cls(records, sweeper)


class Outbox:
    """What one instance adds and sends. Whoever wires it runs `run()` for as long as it lives."""

    def __init__(self, sql: Sql, tables: OutboxTables, log_: EventLog, shards: Shards, clock: Clock) -> None:
        self._sql = sql
        self._records = tables.records
        self._sweeper = tables.sweeper
        self._log = log_
        self._shards = shards
        self._clock = clock
        self._name = secrets.token_hex(8)
        self._wake = asyncio.Event()
        # Conversations that this instance committed records of; the event is set once all those are in the log.
        self._due: dict[str, asyncio.Event] = {}
        self._taken: dict[str, asyncio.Event] = {}
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
        await connection.execute(insert(self._records), rows)
        conversation_ids = {record.conversation_id for record in records}
        self._sql.after_commit(connection, lambda: self._committed(conversation_ids))

    async def run(self) -> None:
        """Send what is there and what comes, for ever. While the log or the database cannot answer it tries again, with
        backoff; one line is logged when that begins and one when it ends."""
        self._running = True
        try:
            loop, look_at = asyncio.get_running_loop(), 0.0
            older_us = 0  # whoever starts takes up at once what it may have left itself
            while True:
                self._wake.clear()
                await self._persist(self._send_due)
                if loop.time() >= look_at:
                    await self._persist(partial(self._sweep, older_us))
                    older_us = LEFT_US
                    look_at = loop.time() + LOOK_SECONDS * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
                await self._woken(look_at)
        finally:
            self._running = False

    async def settled(self, conversation_id: str, seconds: float) -> None:
        """Until what this instance committed of the conversation is in the log, but no longer than that: it is sent in any
        case. Returns at once while nothing runs that would send it."""
        event = self._due.get(conversation_id) or self._taken.get(conversation_id)
        if event is None or not self._running:
            return
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass

    async def pending(self) -> int:
        """How many records wait to be sent, by whichever instance. Raises Unavailable."""
        async with self._sql.read() as connection:
            return int((await connection.execute(select(func.count()).select_from(self._records))).scalar_one())

    def _committed(self, conversation_ids: Iterable[str]) -> None:
        for conversation_id in conversation_ids:
            if conversation_id in self._due or len(self._due) < _MAX_DUE:
                self._due.setdefault(conversation_id, asyncio.Event())
        self._wake.set()

    async def _persist(self, step: Callable[[], Awaitable[None]]) -> None:
        backoff = Backoff(0.1, 5.0)
        while True:
            try:
                await step()
            except Transient as error:
                if backoff.attempts == 0:
                    log.warning("the outbox of %s waits: %s", self._sql.name, error)
                await self._clock.sleep(backoff.next_delay())
                continue
            if backoff.attempts:
                log.info("the outbox of %s sends again", self._sql.name)
            return

    async def _send_due(self) -> None:
        while self._taken or self._due:
            if not self._taken:
                self._taken = {each: self._due.pop(each) for each in list(self._due)[:_CONVERSATIONS]}
            await self._send(list(self._taken))
            for event in self._taken.values():
                event.set()
            self._taken = {}

    async def _send(self, conversation_ids: Sequence[str]) -> None:
        """Send all that lies there of these, the oldest first."""
        table = self._records
        query = select(table).where(table.c.conversation_id.in_(conversation_ids)).order_by(table.c.id).limit(_BATCH)
        sent = _BATCH
        while sent == _BATCH:
            async with self._sql.read() as connection:
                rows = (await connection.execute(query)).all()
            sent = len(rows)
            if rows:
                await self._append(rows)
                async with self._sql.write() as connection:
                    await connection.execute(delete(table).where(table.c.id.in_([row.id for row in rows])))

    async def _append(self, rows: Sequence[Row[Any]]) -> None:
        # As `record.to_entry` makes them, but without decoding what was encoded here.
        shards = self._shards.shards
        entries = [Entry(shards.partition_of(row.conversation_id), row.conversation_id, row.record) for row in rows]
        try:
            async with asyncio.timeout(_APPEND_SECONDS):
                await self._log.append(ACCEPTED, entries)
        except TimeoutError as error:
            raise Unavailable("the log does not answer in time") from error

    async def _sweep(self, older_us: int) -> None:
        """Send what nobody is about to send, unless another instance does that just now. What is younger is sent along: the
        records of a conversation never pass each other."""
        swept = False
        while conversation_ids := await self._left(older_us):
            if not await self._leased():
                return
            swept = True
            await self._send(conversation_ids)
        if swept:
            await self._give_back()

    async def _left(self, older_us: int) -> list[str]:
        table, limit_us = self._records, self._clock.now_us() - older_us
        query = select(table.c.conversation_id).where(table.c.created_us <= limit_us).order_by(table.c.id).limit(_BATCH)
        async with self._sql.read() as connection:
            return list(dict.fromkeys((await connection.execute(query)).scalars()))

    async def _leased(self) -> bool:
        table, now_us = self._sweeper, self._clock.now_us()
        until_us = now_us + LEASE_US
        free = or_(
            table.c.sweeper == self._name,
            table.c.until_us < now_us,
            table.c.until_us > until_us,  # by a clock that is wrong
        )
        values = {"outbox": self._records.name, "sweeper": self._name, "until_us": until_us}
        try:
            async with self._sql.write() as connection:
                if (await connection.execute(update(table).where(free).values(values))).rowcount:
                    return True
                if (await connection.execute(select(table.c.outbox))).first() is None:
                    await connection.execute(insert(table).values(values))
                    return True
        except IntegrityError:
            pass  # the first row ever, and another instance made it
        return False

    async def _give_back(self) -> None:
        mine = self._sweeper.c.sweeper == self._name
        async with self._sql.write() as connection:
            await connection.execute(update(self._sweeper).where(mine).values(until_us=0))

    async def _woken(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            pass
