"""A message store moved from its SQLite file to Cassandra, row by row, with plain CQL: also one that contradicts itself."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from svc.backends.cassandra import Cassandra, Insert, Mutation
from svc.backends.cassandra_blocking import BlockingCassandra
from svc.backends.messages_cql import bucket_of
from svc.kernel.settings import Settings, for_tests
from tests.backends.cassandra import MASTER_KEYS, SEAL, blocking_tables

EVENT = Insert(
    "INSERT INTO events (conversation_id, bucket, lane, seq, kind, sender_id, record_id, client_message_id, time_us, ordinal,"
    " version, era, offset, target_seq, body, body_version)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
    key=2,
)
_KEY = Insert(
    "INSERT INTO idempotency_keys (conversation_id, sender_id, client_message_id, era, offset, seq, record_id, time_us, digest)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    key=2,
)
_LIST = Insert(
    "INSERT INTO conversations_by_user (user_id, conversation_id, version, member, seq) VALUES (?, ?, ?, ?, ?)", key=1
)


@dataclass(frozen=True)
class Moved:
    """A keyspace with what was moved to it, and the settings that choose it."""

    settings: Settings
    session: BlockingCassandra

    def write(self, rows: Sequence[Mutation]) -> None:
        """Add rows."""

        async def work(cassandra: Cassandra) -> None:
            await cassandra.write(rows)

        self.session.run(work)


@contextmanager
def moved(path: Path, held_back: Callable[[Mutation], bool] = lambda row: False) -> Iterator[Moved]:
    """A keyspace that holds everything in the file, but for what is held back, and nothing else."""
    rows = [row for row in rows_of(path) if not held_back(row)]
    with blocking_tables() as (place, session):
        url = f"cassandra://{','.join(place.host_ports())}/{place.name}"
        made = Moved(for_tests(path.parent, cassandra=url, master_keys=MASTER_KEYS), session)
        made.write(rows)
        yield made


def rows_of(path: Path) -> list[Mutation]:
    """What writes the rows of the file."""
    with closing(sqlite3.connect(path)) as connection:
        return list(_rows(connection))


def _rows(connection: sqlite3.Connection) -> Iterator[Mutation]:
    for name, lane, seq, kind, *between, body, version in connection.execute("SELECT * FROM events"):
        cell = SEAL.seal(name, seq, kind, body)
        yield EVENT, (name, bucket_of(seq), lane, seq, kind, *between, cell, version, version)
    for row in connection.execute("SELECT * FROM idempotency_keys"):
        yield _KEY, row
    for user, name, version, member, seq in connection.execute("SELECT * FROM conversations_by_user"):
        yield _LIST, (user, name, version, bool(member), seq)
