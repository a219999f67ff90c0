"""The message store in its SQLite file (`svc.backends.messages_schema`), read by streaming: a moment for each conversation."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from svc.backends.messages_schema import CHANGE_LANE, MESSAGE_LANE, WITHDRAWN
from svc.kernel.record import Kind
from svc.verify.model import Cause, KeyRow, Member, NamedKey, Position, StoredEvent, Target, Twin
from svc.verify.wire import asked, head_of, to_body

_HIGHEST = (1 << 63) - 1
_EVENT = """e.lane, e.seq, e.kind, e.sender_id, e.record_id, e.client_message_id, e.time_us, e.ordinal, e.version,
  e.era, e.offset, e.target_seq, e.body, e.body_version"""
_KEY = "k.era, k.offset, k.seq, k.record_id, k.time_us, k.digest"
_TARGET = "t.record_id, t.sender_id, t.kind, t.body, t.body_version"
_CAUSE = "c.seq, c.kind, c.target_seq"
_NULLS_OF_TARGET, _NULLS_OF_CAUSE = "NULL, NULL, NULL, NULL, NULL", "NULL, NULL, NULL"
_WITH_KEY = """LEFT JOIN idempotency_keys AS k ON k.conversation_id = e.conversation_id
  AND k.sender_id = e.sender_id AND k.client_message_id = e.client_message_id"""
_OF_ONE = "WHERE e.conversation_id = :name AND e.seq <= :end AND e.lane"

# Lanes are merged row by row along the primary key; each row brings what belongs to it, by look-ups: nothing is collected.
_EVENTS = f"""SELECT {_EVENT}, {_KEY}, {_NULLS_OF_TARGET}, {_CAUSE} FROM events AS e {_WITH_KEY}
  LEFT JOIN events AS c ON e.body_version != e.seq AND c.conversation_id = e.conversation_id AND c.lane = {CHANGE_LANE}
    AND c.seq = e.body_version % {WITHDRAWN}
  {_OF_ONE} = {MESSAGE_LANE}
UNION ALL SELECT {_EVENT}, {_KEY}, {_TARGET}, {_NULLS_OF_CAUSE} FROM events AS e {_WITH_KEY}
  LEFT JOIN events AS t ON e.target_seq != 0 AND t.conversation_id = e.conversation_id AND t.lane = {MESSAGE_LANE}
    AND t.seq = e.target_seq
  {_OF_ONE} = {CHANGE_LANE}
ORDER BY 2"""  # noqa: S608 - constants

_KEYS = """SELECT k.sender_id, k.client_message_id, k.seq, e.sender_id, e.client_message_id FROM idempotency_keys AS k
  LEFT JOIN events AS e ON e.conversation_id = k.conversation_id AND e.lane IN (0, 1) AND e.seq = k.seq
  WHERE k.conversation_id = ?"""


def _twins(what: str, columns: str) -> str:
    # SQLite sorts on the disk what is large.
    one = "conversation_id = :name AND lane IN (0, 1) AND seq <= :end"
    return f"""SELECT {what}, seq, time_us, kind FROM events WHERE {one}
  AND ({columns}) IN (SELECT {columns} FROM events WHERE {one}
    AND kind != {int(Kind.UNPROCESSABLE)}
    GROUP BY {columns} HAVING count(*) > 1)
  ORDER BY {columns}, seq"""  # noqa: S608 - constants


_SAME_KEY = _twins("client_message_id || ' of ' || sender_id", "sender_id, client_message_id")
_SAME_RECORD = _twins("'record ' || record_id", "record_id")

# Lists are kept by user. Who has a conversation in theirs is noted once, what they say of it is read with its events.
_LISTED = """CREATE TEMP TABLE listed (conversation_id TEXT NOT NULL, user_id TEXT NOT NULL,
  PRIMARY KEY (conversation_id, user_id)) WITHOUT ROWID"""
_LISTED_OF = "SELECT user_id FROM temp.listed WHERE conversation_id = ?"
_LIST = "SELECT version, member, seq FROM conversations_by_user WHERE user_id = ? AND conversation_id = ?"

# Also what is known of a conversation that has lost all its events.
_NEXT = """SELECT min(name) FROM (
  SELECT min(conversation_id) AS name FROM events WHERE conversation_id > :after
  UNION ALL SELECT min(conversation_id) FROM idempotency_keys WHERE conversation_id > :after
  UNION ALL SELECT min(conversation_id) FROM temp.listed WHERE conversation_id > :after)"""


class SqliteSnapshot:
    """Serves `Snapshot`, inside a transaction, up to an event."""

    def __init__(self, connection: sqlite3.Connection, conversation_id: str, end: int = _HIGHEST) -> None:
        self._connection = connection
        self._name = conversation_id
        self._up_to_end = {"name": conversation_id, "end": end}

    def events(self) -> Iterator[StoredEvent]:
        for row in self._connection.execute(_EVENTS, self._up_to_end):
            yield _event(self._name, row)

    def keys(self) -> Iterator[NamedKey]:
        for sender, key, seq, event_sender, event_key in self._connection.execute(_KEYS, (self._name,)):
            yield NamedKey(sender, key, seq, None if event_sender is None else (event_sender, event_key))

    def same_key(self) -> Iterator[Twin]:
        return (Twin(*row) for row in self._connection.execute(_SAME_KEY, self._up_to_end))

    def same_record(self) -> Iterator[Twin]:
        return (Twin(*row) for row in self._connection.execute(_SAME_RECORD, self._up_to_end))

    def lists(self, users: Iterable[str]) -> dict[str, Member | None]:
        listed = [user for (user,) in self._connection.execute(_LISTED_OF, (self._name,))]
        found: dict[str, Member | None] = {}
        for user in {*users, *listed}:
            row = self._connection.execute(_LIST, (user, self._name)).fetchone()
            if row is not None:
                found[user] = Member(row[0], bool(row[1]), row[2])
        return found


class SqliteArchive:
    """Serves `Archive`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute(_LISTED)
        connection.execute("INSERT INTO temp.listed SELECT conversation_id, user_id FROM conversations_by_user")

    def next_conversation(self, after: str) -> str | None:
        found: str | None = self._connection.execute(_NEXT, {"after": after}).fetchone()[0]
        return found

    @contextmanager
    def conversation(self, conversation_id: str) -> Iterator[SqliteSnapshot]:
        self._connection.execute("BEGIN")
        try:
            yield SqliteSnapshot(self._connection, conversation_id)
        finally:
            self._connection.rollback()


def _event(name: str, row: tuple[Any, ...]) -> StoredEvent:
    lane, seq, kind, sender, record_id, client_id, time_us, ordinal, version, era, offset = row[:11]
    target_seq, encoded, body_version = row[11:14]
    body = to_body(kind, encoded)
    is_as_sent = body is not None and body_version == seq
    own_version = version if kind == Kind.MEMBERSHIP else body.version if body is not None else 0
    return StoredEvent(
        conversation_id=name,
        lane=lane,
        seq=seq,
        kind=kind,
        sender_id=sender,
        record_id=record_id,
        client_message_id=client_id,
        time_us=time_us,
        ordinal=ordinal,
        version=version,
        position=Position(era, offset),
        target_seq=target_seq,
        body=body,
        body_version=body_version,
        is_empty=not encoded,
        head=head_of(name, seq, time_us, sender, record_id, client_id, ordinal, kind, encoded),
        asked=asked(kind, target_seq, own_version, encoded) if is_as_sent else None,
        key=_key(row[14:20]),
        target=_target(row[20:25]),
        cause=None if row[25] is None else Cause(*row[25:28]),
    )


def _key(columns: tuple[Any, ...]) -> KeyRow | None:
    era, offset, *rest = columns
    return None if era is None else KeyRow(Position(era, offset), *rest)


def _target(columns: tuple[Any, ...]) -> Target | None:
    record_id, sender_id, kind, encoded, body_version = columns
    if record_id is None:
        return None
    body = to_body(kind, encoded)
    return Target(record_id, sender_id, kind, "" if body is None else body.content, not encoded, body_version)
