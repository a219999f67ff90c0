"""Rows of a message store, put where each kind of store keeps them with plain SQL and CQL."""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from pathlib import Path
from typing import Protocol

from svc.backends.cassandra import Cassandra, Insert, open_cassandra
from svc.backends.cassandra_blocking import BlockingCassandra
from svc.backends.messages_cql import BUCKET_EVENTS, bucket_of
from svc.backends.messages_schema import MESSAGE_LANE, SCHEMA
from svc.backends.opening import Messages
from svc.backends.sqlite import make_database, open_database
from svc.kernel.record import Kind
from tests.backends.cassandra import SEAL, blocking_tables

Values = tuple[object, ...]
_EVENT = Insert(
    "INSERT INTO events (conversation_id, bucket, lane, seq, kind, sender_id, record_id, client_message_id, time_us, ordinal,"
    " version, era, offset, target_seq, body, body_version)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
    key=2,
)
_BODY = Insert(
    "INSERT INTO events (conversation_id, bucket, lane, seq, body, body_version) VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
    key=2,
)
_BUCKET = Insert("INSERT INTO conversation_heads (conversation_id, bucket) VALUES (?, ?) USING TIMESTAMP ?", key=1)
_LISTED = Insert(
    "INSERT INTO conversations_by_user (user_id, conversation_id, version, member, seq) VALUES (?, ?, 0, ?, 1)"
    " USING TIMESTAMP ?",
    key=1,
)
_MARK = Insert("INSERT INTO read_marks (user_id, conversation_id, seq) VALUES (?, ?, ?) USING TIMESTAMP ?", key=1)


class Rows(Protocol):
    """One store. What is put last stands, but for bodies: there the highest version does."""

    def event(self, fields: Values, body: bytes) -> None:
        """An event as it is stored first: `fields` as in the schema, up to the body."""
        ...

    def body(self, conversation_id: str, seq: int, body: bytes, version: int) -> None:
        """Another body for a message."""
        ...

    def listed(self, user_id: str, conversation_id: str, member: bool) -> None:
        """A line of a user's list."""
        ...

    def mark(self, user_id: str, conversation_id: str, seq: int) -> None:
        """A read mark."""
        ...

    def opened(self) -> AbstractAsyncContextManager[Messages]:
        """The store, as services open it."""
        ...


class SqliteRows:
    """In a file."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        connection.execute("PRAGMA synchronous=OFF")

    def event(self, fields: Values, body: bytes) -> None:
        row = (*fields, body, fields[2])
        self._connection.execute(f"INSERT INTO events VALUES ({', '.join('?' * len(row))})", row)

    def body(self, conversation_id: str, seq: int, body: bytes, version: int) -> None:
        self._connection.execute(
            "UPDATE events SET body = ?, body_version = ?"
            " WHERE conversation_id = ? AND lane = ? AND seq = ? AND body_version < ?",
            (body, version, conversation_id, MESSAGE_LANE, seq, version),
        )

    def listed(self, user_id: str, conversation_id: str, member: bool) -> None:
        row = (user_id, conversation_id, 0, int(member), 1)
        self._connection.execute("INSERT OR REPLACE INTO conversations_by_user VALUES (?, ?, ?, ?, ?)", row)

    def mark(self, user_id: str, conversation_id: str, seq: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO read_marks VALUES (?, ?, ?)", (user_id, conversation_id, seq))

    def opened(self):
        return open_database(self._path, SCHEMA)


class CassandraRows:
    """In a keyspace."""

    def __init__(self, place, session: BlockingCassandra) -> None:
        self._place = place
        self._session = session
        self._puts = 0

    def event(self, fields: Values, body: bytes) -> None:
        name, lane, seq, kind, *others = fields
        if seq % BUCKET_EVENTS == 0:
            self._put(_BUCKET, (name, bucket_of(seq), seq))
        cell = SEAL.seal(name, seq, kind, body)
        self._put(_EVENT, (name, bucket_of(seq), lane, seq, kind, *others, cell, seq, seq))

    def body(self, conversation_id: str, seq: int, body: bytes, version: int) -> None:
        cell = SEAL.seal(conversation_id, seq, Kind.MESSAGE, body)
        self._put(_BODY, (conversation_id, bucket_of(seq), MESSAGE_LANE, seq, cell, version, version))

    def listed(self, user_id: str, conversation_id: str, member: bool) -> None:
        self._put(_LISTED, (user_id, conversation_id, member, self._next()))

    def mark(self, user_id: str, conversation_id: str, seq: int) -> None:
        self._put(_MARK, (user_id, conversation_id, seq, self._next()))

    def opened(self):
        return open_cassandra(self._place, SEAL)

    def _next(self) -> int:
        self._puts += 1
        return self._puts

    def _put(self, insert: Insert, values: Values) -> None:
        async def write(cassandra: Cassandra) -> None:
            await cassandra.write([(insert, values)])

        self._session.run(write)


@contextmanager
def sqlite_rows(folder: Path) -> Iterator[Rows]:
    """A file that has nothing yet."""
    path = folder / "messages.db"
    make_database(path, SCHEMA)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield SqliteRows(path, connection)


@contextmanager
def cassandra_rows(_: Path) -> Iterator[Rows]:
    """A keyspace that has nothing yet."""
    with blocking_tables() as (place, session):
        yield CassandraRows(place, session)
