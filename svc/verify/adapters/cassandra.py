"""The message store in Cassandra (`svc.backends.messages_cql`). One conversation after the other is copied into a database on
the disk, with its content opened, and looked at there as if it had been stored in a file.

Cassandra gives no moment: while a conversation is copied it goes on. What is judged is true of one all the same:

- Events are judged up to the one that was the newest before, read from a quorum; `SETTLED_SECONDS` later all that was written
  with it is stored, too, or its owner tries in vain. Ledgers were read earlier still: whatever a client saw is among them.
- Events never change. A message that a later event has changed is taken to be changed rightly: that event is judged the next
  time. So is what a list or a key row says since a later event, if there is one.

What the last write of an owner that died left behind is no loss, but looks like one until another owner has finished it.

Which conversations there are is read once, from the keys of all partitions, before the first. When single ones are asked for,
it is not: entries in the lists of people that their events do not know, and key rows of such people, are not looked for then.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar

from svc.backends.cassandra import Cassandra
from svc.backends.cassandra_blocking import BlockingCassandra
from svc.backends.messages_cql import BUCKET_EVENTS, bucket_of
from svc.backends.messages_heads import Heads
from svc.backends.messages_schema import CHANGE_LANE, SCHEMA, WITHDRAWN
from svc.backends.sealing import UnreadableContentError
from svc.kernel.clock import Clock
from svc.kernel.record import Kind
from svc.verify.model import Member, NamedKey, StoredEvent, Twin
from svc.verify.ports import Snapshot

T = TypeVar("T")

SETTLED_SECONDS = 5.0
_LOOKED_AHEAD = 1000  # conversations whose ends are read together: one wait for all of them
_SPAN_EVENTS = 256
_KEYS_READ = 1000
_PARTITIONS_READ = 500
_TOGETHER = 50
_STATEMENTS = 4

Ask = tuple[str, Sequence[object]]
Inside = Callable[[sqlite3.Connection, str, int], Snapshot]
"""Looks at a conversation in a database of `svc.backends.messages_schema`, up to a seq."""

_EVENTS = (
    "SELECT lane, seq, kind, sender_id, record_id, client_message_id, time_us, ordinal, version, era, offset, target_seq, body,"
    " body_version FROM events WHERE conversation_id = ? AND bucket = ? AND lane IN (0, 1) AND seq >= ? AND seq <= ?"
)
_KEYS = (
    "SELECT client_message_id, era, offset, seq, record_id, time_us, digest FROM idempotency_keys"
    " WHERE conversation_id = ? AND sender_id = ? AND client_message_id > ? LIMIT ?"
)
_LISTS = "SELECT user_id, version, member, seq FROM conversations_by_user WHERE user_id IN ? AND conversation_id = ?"
_LISTED = "SELECT conversation_id, user_id FROM conversations_by_user WHERE user_id IN ?"

_SCRATCH = f"""
PRAGMA synchronous = OFF;
{SCHEMA}
CREATE TABLE names (conversation_id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE senders (conversation_id TEXT NOT NULL, sender_id TEXT NOT NULL, PRIMARY KEY (conversation_id, sender_id))
  WITHOUT ROWID;
CREATE TABLE listed (conversation_id TEXT NOT NULL, user_id TEXT NOT NULL, PRIMARY KEY (conversation_id, user_id))
  WITHOUT ROWID;
"""
_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_KEY = "INSERT INTO idempotency_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_SENDERS = """SELECT sender_id FROM senders WHERE conversation_id = :name
  UNION SELECT sender_id FROM events WHERE conversation_id = :name"""
# What is known of events that are not judged any more: that they are there, what they changed, what key they have.
_NAMED = f"""SELECT coalesce(max(seq), 0) FROM (SELECT seq FROM idempotency_keys
  UNION ALL SELECT body_version % {WITHDRAWN} FROM events)"""  # noqa: S608 - constants
_LATER = f"""INSERT INTO events (conversation_id, lane, seq, kind, sender_id, record_id, client_message_id, time_us, ordinal,
  version, era, offset, target_seq, body, body_version) SELECT conversation_id, {CHANGE_LANE},"""
_LATER_CHANGES = f"""{_LATER} body_version % {WITHDRAWN},
  CASE WHEN body_version >= {WITHDRAWN} THEN {int(Kind.WITHDRAWAL)} ELSE {int(Kind.EDIT)} END,
  '', 0, '', 0, 0, 0, 0, 0, seq, x'', 0 FROM events
  WHERE body_version % {WITHDRAWN} > :end AND body_version % {WITHDRAWN} <= :now
  ON CONFLICT (conversation_id, lane, seq) DO NOTHING"""
_LATER_KEYS = f"""{_LATER} seq, 0, sender_id, 0, client_message_id, 0, 0, 0, 0, 0, 0, x'', 0 FROM idempotency_keys
  WHERE seq > :end AND seq <= :now
  ON CONFLICT (conversation_id, lane, seq) DO UPDATE
  SET sender_id = excluded.sender_id, client_message_id = excluded.client_message_id"""  # noqa: S608 - constants
_UNREADABLE = b"\xff"  # what no body is


class CassandraSnapshot:
    """Serves `Snapshot` from a copy; lists are read anew."""

    def __init__(self, copy: Snapshot, archive: "CassandraArchive", conversation_id: str, end: int) -> None:
        self._copy = copy
        self._archive = archive
        self._name = conversation_id
        self._end = end

    def events(self) -> Iterator[StoredEvent]:
        return self._copy.events()

    def keys(self) -> Iterator[NamedKey]:
        return self._copy.keys()

    def same_key(self) -> Iterator[Twin]:
        return self._copy.same_key()

    def same_record(self) -> Iterator[Twin]:
        return self._copy.same_record()

    def lists(self, users: Iterable[str]) -> dict[str, Member | None]:
        return self._archive.lists(self._name, self._end, users)


class CassandraArchive:
    """Serves `Archive`. `scratch`: an empty database, for it alone. `progress` is told how far the names are read."""

    def __init__(
        self,
        cassandra: BlockingCassandra,
        scratch: sqlite3.Connection,
        inside: Inside,
        clock: Clock,
        progress: Callable[[str], None],
    ) -> None:
        self._cassandra = cassandra
        self._scratch = scratch
        self._inside = inside
        self._clock = clock
        self._progress = progress
        self._ends: dict[str, int] = {}
        self._settled_at = 0.0
        self._has_names = False
        scratch.executescript(_SCRATCH)

    def next_conversation(self, after: str) -> str | None:
        if not self._has_names:
            self._read_names()
            self._has_names = True
        query = "SELECT min(conversation_id) FROM names WHERE conversation_id > ?"
        found: str | None = self._scratch.execute(query, (after,)).fetchone()[0]
        return found

    @contextmanager
    def conversation(self, conversation_id: str) -> Iterator[CassandraSnapshot]:
        end = self._end(conversation_id)
        self._scratch.execute("BEGIN")
        try:
            self._copy_events(conversation_id, end)
            self._copy_keys(conversation_id)
            self._note_later(conversation_id, end)
            yield CassandraSnapshot(self._inside(self._scratch, conversation_id, end), self, conversation_id, end)
        finally:
            self._scratch.rollback()

    def lists(self, name: str, end: int, users: Iterable[str]) -> dict[str, Member | None]:
        """What the lists of these users say of it, and those of others that have it."""
        others = self._scratch.execute("SELECT user_id FROM listed WHERE conversation_id = ?", (name,))
        wanted = sorted({*users, *(user for (user,) in others)})
        rows = self._ask((_LISTS, (some, name)) for some in _portions(wanted, _TOGETHER))
        found = {user: Member(version, member, seq) for user, version, member, seq in rows}
        now = self._now(name, end, max((member.seq for member in found.values()), default=0))
        return {user: None if end < member.seq <= now else member for user, member in found.items()}

    def _end(self, name: str) -> int:
        """The newest event of a conversation that is judged. It and all before it are stored, and what belongs to them."""
        if name not in self._ends:
            query = "SELECT conversation_id FROM names WHERE conversation_id > ? ORDER BY 1 LIMIT ?"
            following = self._scratch.execute(query, (name, _LOOKED_AHEAD))
            self._ends = self._newest([name, *(other for (other,) in following)])
            self._settled_at = self._clock.monotonic() + SETTLED_SECONDS
        if (left := self._settled_at - self._clock.monotonic()) > 0:
            self._sleep(left)
        return self._ends[name]

    def _now(self, name: str, end: int, named: int) -> int:
        """The newest event there is, when something names that one. It is waited for: what names it may be there before it."""
        now = end
        if named > end:
            now = self._newest([name])[name]
        if named > now:
            self._sleep(SETTLED_SECONDS)
            now = self._newest([name])[name]
        return now

    def _newest(self, names: Sequence[str]) -> dict[str, int]:
        async def look(cassandra: Cassandra) -> dict[str, int]:
            return {name: newest.seq for name, newest in (await Heads(cassandra).newest(names)).items()}

        return self._cassandra.run(look)

    def _sleep(self, seconds: float) -> None:
        self._cassandra.run(lambda _: self._clock.sleep(seconds))

    def _copy_events(self, name: str, end: int) -> None:
        for bucket in range(bucket_of(end) + 1):
            first, last = bucket * BUCKET_EVENTS, min(end, (bucket + 1) * BUCKET_EVENTS - 1)
            spans = (
                (_EVENTS, (name, bucket, at, min(at + _SPAN_EVENTS - 1, last)))
                for at in range(first, last + 1, _SPAN_EVENTS)
            )
            for row in self._ask(spans):
                self._copy_event(name, row)

    def _copy_event(self, name: str, row: tuple[Any, ...]) -> None:
        lane, seq, kind, *between, cell, body_version = row
        if kind is None:  # a change of an event that is not here
            return
        values = (name, lane, seq, kind, *between, self._opened(name, seq, kind, cell), body_version)
        self._scratch.execute(_EVENT, values)

    def _opened(self, name: str, seq: int, kind: int, cell: bytes) -> bytes:
        try:
            return self._cassandra.seal.open(name, seq, kind, cell)
        except UnreadableContentError:
            return _UNREADABLE

    def _copy_keys(self, name: str) -> None:
        senders = [sender for (sender,) in self._scratch.execute(_SENDERS, {"name": name})]
        for some in _portions(senders, _TOGETHER):
            after = dict.fromkeys(some, "")
            while after:
                asked = [(_KEYS, (name, sender, key, _KEYS_READ)) for sender, key in after.items()]
                pages = dict(zip(after, self._answers(asked), strict=True))
                for sender, rows in pages.items():
                    self._scratch.executemany(_KEY, ((name, sender, *row) for row in rows))
                after = {sender: rows[-1][0] for sender, rows in pages.items() if len(rows) == _KEYS_READ}

    def _note_later(self, name: str, end: int) -> None:
        named: int = self._scratch.execute(_NAMED).fetchone()[0]
        places = {"end": end, "now": self._now(name, end, named)}
        self._scratch.execute(_LATER_CHANGES, places)
        self._scratch.execute(_LATER_KEYS, places)

    def _read_names(self) -> None:
        for keys in self._partitions("events", "conversation_id, bucket"):
            self._name(name for name, _ in keys)
        for keys in self._partitions("idempotency_keys", "conversation_id, sender_id"):
            self._scratch.executemany("INSERT OR IGNORE INTO senders VALUES (?, ?)", keys)
            self._name(name for name, _ in keys)
        for users in self._partitions("conversations_by_user", "user_id"):
            rows = self._ask((_LISTED, (some,)) for some in _portions((user for (user,) in users), _TOGETHER))
            for some in _portions(rows, _KEYS_READ):
                self._scratch.executemany("INSERT OR IGNORE INTO listed VALUES (?, ?)", some)
                self._name(name for name, _ in some)

    def _name(self, names: Iterable[str]) -> None:
        self._scratch.executemany("INSERT OR IGNORE INTO names VALUES (?)", ((name,) for name in names))

    def _partitions(self, table: str, key: str) -> Iterator[list[tuple[Any, ...]]]:
        """The keys of all partitions of a table. A page begins with the last key of the one before: keys may share a token."""
        marks = ", ".join("?" for _ in key.split(","))
        first = f"SELECT DISTINCT {key} FROM {table}"  # noqa: S608 - constants
        page = list(self._ask([(f"{first} LIMIT ?", (_PARTITIONS_READ,))]))
        read = 0
        while True:
            yield page
            read += len(page)
            self._progress(f"{read:,} partitions of {table}")
            if len(page) < _PARTITIONS_READ:
                return
            following = f"{first} WHERE token({key}) >= token({marks}) LIMIT ?"
            page = list(self._ask([(following, (*page[-1], _PARTITIONS_READ))]))

    def _ask(self, asked: Iterable[Ask]) -> Iterator[tuple[Any, ...]]:
        return chain.from_iterable(self._answers(asked))

    def _answers(self, asked: Iterable[Ask]) -> Iterator[list[tuple[Any, ...]]]:
        """The rows of each, a few statements at a time."""

        async def ask(cassandra: Cassandra, some: Sequence[Ask]) -> list[list[tuple[Any, ...]]]:
            return await asyncio.gather(*(cassandra.rows(*one) for one in some))

        for some in _portions(asked, _STATEMENTS):
            yield from self._cassandra.run(partial(ask, some=some))


def _portions(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while portion := list(islice(rest, size)):
        yield portion
