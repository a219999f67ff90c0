"""The event log in a SQLite file: the embedded twin of Kafka.

Appends that wait go in one transaction. What was just appended reaches the consumers of this process from memory; only a
consumer that starts, or fell behind, reads the file.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from svc.backends.sqlite import Database, Work, open_database
from svc.kernel.clock import Clock
from svc.kernel.eventlog import ACCEPTED, DEAD_LETTERS, EVENTS, Entry, LoggedEntry

RETENTION_SECONDS = 7 * 86_400
_BUFFERED = 10_000
_TRIMMED_TOGETHER = 1000

SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
  appended_us INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (topic, partition, offset)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commits (
  consumer TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
  PRIMARY KEY (consumer, topic, partition)
) WITHOUT ROWID;
"""


class SqliteConsumer:
    """Reads partitions in order; what is appended in this process is handed to it without a read."""

    def __init__(self, log: "SqliteEventLog", topic: str, starts: dict[int, int], ends: dict[int, int]) -> None:
        self._log = log
        self.topic = topic
        self._next = dict(starts)  # per partition: the offset after the newest one buffered or fetched
        # Partitions whose next entries must be read from the file; the one that was read longest ago comes first.
        self._behind: dict[int, None] = dict.fromkeys(starts)
        self._buffer: deque[LoggedEntry] = deque()
        # Per partition: the offset after the newest one that is known to be stored.
        self._ends = {partition: max(start, ends.get(partition, 0)) for partition, start in starts.items()}
        self._wake = asyncio.Event()
        self._wake.set()

    def appended(self, entries: Sequence[LoggedEntry]) -> None:
        """Entries that are now stored, in order."""
        for entry in entries:
            if entry.partition not in self._next:
                continue
            self._ends[entry.partition] = max(self._ends[entry.partition], entry.offset + 1)
            if (
                entry.partition in self._behind
                or entry.offset != self._next[entry.partition]
                or len(self._buffer) >= _BUFFERED
            ):
                self._behind[entry.partition] = None
            else:
                self._buffer.append(entry)
                self._next[entry.partition] = entry.offset + 1
            self._wake.set()

    async def take(self, partition: int, start: int) -> None:
        ends = await self._log.end_offsets(self.topic)
        self.drop(partition)
        self._next[partition] = start
        self._ends[partition] = max(start, ends.get(partition, 0))
        self._behind[partition] = None
        self._wake.set()

    def drop(self, partition: int) -> None:
        self._next.pop(partition, None)
        self._behind.pop(partition, None)
        self._buffer = deque(entry for entry in self._buffer if entry.partition != partition)

    async def fetch(self, max_entries: int) -> Sequence[LoggedEntry]:
        while True:
            if self._buffer:
                return [self._buffer.popleft() for _ in range(min(max_entries, len(self._buffer)))]
            if self._behind:
                found = await self._read_behind(max_entries)
                if found:
                    return found
                continue
            self._wake.clear()
            await self._wake.wait()

    async def _read_behind(self, max_entries: int) -> list[LoggedEntry]:
        partition = next(iter(self._behind))
        start = self._next[partition]
        found = list(await self._log.read(self.topic, partition, start, max_entries))
        if self._next.get(partition) != start or partition not in self._behind:
            return []  # dropped meanwhile, or taken anew from elsewhere
        if found:
            self._next[partition] = found[-1].offset + 1
            self._ends[partition] = max(self._ends[partition], self._next[partition])
        del self._behind[partition]
        if len(found) == max_entries or self._ends[partition] > self._next[partition]:
            # There is more, perhaps appended while this was read: not even an empty answer says that it is not there.
            self._behind[partition] = None
        return found

    def lag(self, partition: int | None = None) -> int:
        if partition is None:
            return len(self._buffer) + sum(self._unread(each) for each in self._behind)
        buffered = sum(entry.partition == partition for entry in self._buffer)
        return buffered + (self._unread(partition) if partition in self._behind else 0)

    def _unread(self, partition: int) -> int:
        return max(0, self._ends[partition] - self._next[partition])

    async def close(self) -> None:
        self._log.forget(self)


class SqliteEventLog:
    """`svc.kernel.eventlog.EventLog` on one file."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._consumers: list[SqliteConsumer] = []

    async def append(self, topic: str, entries: Sequence[Entry]) -> Sequence[int]:
        def work(connection: sqlite3.Connection) -> list[LoggedEntry]:
            stored = self._place(connection, topic, entries)
            connection.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)",
                [(topic, e.partition, e.offset, e.appended_us, e.key, e.value) for e in stored],
            )
            return stored

        # Shielded: once submitted the entries will be stored, and consumers must hear of them even if the caller left.
        stored = await asyncio.shield(asyncio.ensure_future(self._append(topic, work)))
        return [entry.offset for entry in stored]

    async def _append(self, topic: str, work: Work[list[LoggedEntry]]) -> list[LoggedEntry]:
        stored = await self._database.write(work)
        for consumer in self._consumers:
            if consumer.topic == topic:
                consumer.appended(stored)
        return stored

    def _place(self, connection: sqlite3.Connection, topic: str, entries: Sequence[Entry]) -> list[LoggedEntry]:
        now_us = self._clock.now_us()
        newest: dict[int, tuple[int, int]] = {}
        stored = []
        for entry in entries:
            if entry.partition not in newest:
                row = connection.execute(
                    "SELECT offset, appended_us FROM entries WHERE topic = ? AND partition = ? ORDER BY offset DESC LIMIT 1",
                    (topic, entry.partition),
                ).fetchone()
                newest[entry.partition] = row or (-1, 0)
            offset, appended_us = newest[entry.partition]
            newest[entry.partition] = place = (offset + 1, max(appended_us, now_us))
            stored.append(LoggedEntry(entry.partition, place[0], place[1], entry.key, entry.value))
        return stored

    async def consume(self, topic: str, starts: dict[int, int]) -> SqliteConsumer:
        consumer = SqliteConsumer(self, topic, starts, await self.end_offsets(topic))
        self._consumers.append(consumer)
        return consumer

    def forget(self, consumer: SqliteConsumer) -> None:
        """The consumer was closed."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)

    async def read(self, topic: str, partition: int, start: int, count: int) -> Sequence[LoggedEntry]:
        def work(connection: sqlite3.Connection) -> list[LoggedEntry]:
            rows = connection.execute(
                "SELECT partition, offset, appended_us, key, value FROM entries"
                " WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (topic, partition, start, count),
            )
            return [LoggedEntry(*row) for row in rows]

        return await self._database.read(work)

    async def end_offsets(self, topic: str) -> dict[int, int]:
        return await self._database.read(
            lambda c: {partition: newest + 1 for of, partition, newest in _newest(c) if of == topic}
        )

    async def offsets_since(self, topic: str, time_us: int) -> dict[int, int]:
        return await self._table(
            "SELECT partition, min(offset) FROM entries WHERE topic = ? AND appended_us >= ? GROUP BY partition",
            topic,
            time_us // 1000 * 1000,
        )

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        return await self._table("SELECT partition, offset FROM commits WHERE consumer = ? AND topic = ?", group, topic)

    async def commit(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        rows = [(group, topic, partition, offset) for partition, offset in offsets.items()]
        await self._database.write(lambda c: c.executemany("INSERT OR REPLACE INTO commits VALUES (?, ?, ?, ?)", rows))

    async def ensure(self, partitions: int) -> None:
        """A file has room for as many as there are."""

    async def is_consumed(self) -> bool:
        """Whether anybody has committed anything of it."""
        return await self._database.read(
            lambda c: c.execute("SELECT 1 FROM commits WHERE offset > 0").fetchone() is not None
        )

    async def trim(self) -> int:
        """Remove what is older than the retention and below every commit, in portions; returns how many. The newest entry
        of a partition stays: its offset must never be used again. Dead letters stay until somebody has dealt with them."""
        before_us = self._clock.now_us() - RETENTION_SECONDS * 1_000_000
        places = [place for place in await self._database.read(_newest) if place[0] != DEAD_LETTERS]
        return sum([await self._trim(topic, partition, newest, before_us) for topic, partition, newest in places])

    async def _trim(self, topic: str, partition: int, newest: int, before_us: int) -> int:
        def work(connection: sqlite3.Connection) -> int:
            floor = connection.execute(
                "SELECT MIN(offset) FROM commits WHERE topic = ? AND partition = ?", (topic, partition)
            ).fetchone()[0]
            if floor is None and topic == ACCEPTED:
                return 0  # nobody has read it yet
            limit = newest if floor is None else min(newest, floor)
            return connection.execute(
                "DELETE FROM entries WHERE topic = ?1 AND partition = ?2 AND offset < ?3 AND appended_us < ?4 AND offset IN"
                " (SELECT offset FROM entries WHERE topic = ?1 AND partition = ?2 ORDER BY offset LIMIT ?5)",
                (topic, partition, limit, before_us, _TRIMMED_TOGETHER),
            ).rowcount

        removed = 0
        while (portion := await self._database.write(work)) > 0:
            removed += portion
        return removed

    async def _table(self, sql: str, *arguments: object) -> dict[int, int]:
        return await self._database.read(lambda c: dict(c.execute(sql, arguments).fetchall()))


def _newest(connection: sqlite3.Connection) -> list[tuple[str, int, int]]:
    """(topic, partition, newest offset) of all that have entries: by seeks alone, however many entries there are."""
    found = []
    for topic in (ACCEPTED, EVENTS, DEAD_LETTERS):
        partition = -1
        while True:
            row = connection.execute(
                "SELECT partition FROM entries WHERE topic = ? AND partition > ? ORDER BY partition LIMIT 1",
                (topic, partition),
            ).fetchone()
            if row is None:
                break
            partition = row[0]
            newest = connection.execute(
                "SELECT MAX(offset) FROM entries WHERE topic = ? AND partition = ?", (topic, partition)
            ).fetchone()[0]
            found.append((topic, partition, newest))
    return found


@asynccontextmanager
async def open_event_log(path: Path, clock: Clock) -> AsyncIterator[SqliteEventLog]:
    """The event log in a file, for as long as the block lasts."""
    async with open_database(path, SCHEMA) as database:
        yield SqliteEventLog(database, clock)
