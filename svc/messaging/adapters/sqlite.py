"""What messaging reads of the message store in SQLite, and the read marks it keeps there."""

import sqlite3
from collections.abc import Sequence, Set

from svc.backends.messages_schema import WITHDRAWN
from svc.backends.sqlite import Database
from svc.kernel.ids import direct_members, inbox_user
from svc.kernel.record import Kind
from svc.messaging.model import Head, Membership, ReadMark, TargetState

_HEAD = (
    "SELECT seq, ordinal, time_us FROM (SELECT * FROM"
    " (SELECT seq, ordinal, time_us FROM events WHERE conversation_id = ?1 AND lane = 0 ORDER BY seq DESC LIMIT 1)"
    " UNION ALL SELECT * FROM"
    " (SELECT seq, ordinal, time_us FROM events WHERE conversation_id = ?1 AND lane = 1 ORDER BY seq DESC LIMIT 1))"
    " ORDER BY seq DESC LIMIT 1"
)


class SqliteConversations:
    """`svc.messaging.ports.Conversations` on one file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_user(self, user_id: str) -> Sequence[Membership]:
        def work(connection: sqlite3.Connection) -> list[Membership]:
            rows = connection.execute(
                "SELECT conversation_id, version, member FROM conversations_by_user WHERE user_id = ?", (user_id,)
            ).fetchall()
            found = [
                Membership(name, version, bool(member), _head(connection, name)[2]) for name, version, member in rows
            ]
            return sorted(found, key=lambda membership: -membership.time_us)

        return await self._database.read(work)

    async def member_of(self, user_id: str) -> Set[str]:
        def work(connection: sqlite3.Connection) -> set[str]:
            rows = connection.execute(
                "SELECT conversation_id FROM conversations_by_user WHERE user_id = ? AND member", (user_id,)
            )
            return {name for (name,) in rows}

        return await self._database.read(work)

    async def is_member(self, user_id: str, conversation_id: str) -> bool:
        members = direct_members(conversation_id)
        if members is not None and user_id not in members:
            return False

        def work(connection: sqlite3.Connection) -> bool:
            row = connection.execute(
                "SELECT member FROM conversations_by_user WHERE user_id = ? AND conversation_id = ?",
                (user_id, conversation_id),
            ).fetchone()
            return row is not None and bool(row[0])

        return await self._database.read(work)

    async def heads(self, user_id: str, conversation_ids: Sequence[str]) -> Sequence[Head]:
        def work(connection: sqlite3.Connection) -> list[Head]:
            return [_user_head(connection, user_id, name) for name in conversation_ids]

        return await self._database.read(work)

    async def target(self, conversation_id: str, seq: int) -> TargetState | None:
        def work(connection: sqlite3.Connection) -> TargetState | None:
            row = connection.execute(
                "SELECT sender_id, record_id, kind, body_version FROM events"
                " WHERE conversation_id = ? AND lane IN (0, 1) AND seq = ?",
                (conversation_id, seq),
            ).fetchone()
            return None if row is None else TargetState(row[0], row[1], row[2] == Kind.MESSAGE, row[3] >= WITHDRAWN)

        return await self._database.read(work)


class SqliteReadMarks:
    """`svc.messaging.ports.ReadMarks` on one file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def advance(self, marks: Sequence[ReadMark]) -> Sequence[ReadMark]:
        def work(connection: sqlite3.Connection) -> list[ReadMark]:
            moved = []
            for mark in marks:
                seq = min(mark.seq, _head(connection, mark.conversation_id)[0])
                if seq == 0:
                    continue
                changed = connection.execute(
                    "INSERT INTO read_marks VALUES (?, ?, ?) ON CONFLICT (user_id, conversation_id) DO UPDATE"
                    " SET seq = excluded.seq WHERE excluded.seq > read_marks.seq",
                    (mark.user_id, mark.conversation_id, seq),
                ).rowcount
                if changed:
                    moved.append(ReadMark(mark.user_id, mark.conversation_id, seq))
            return moved

        return await self._database.write(work)


def _head(connection: sqlite3.Connection, conversation_id: str) -> tuple[int, int, int]:
    """(seq, ordinal, time in µs) of the newest event, zeros when there is none."""
    row = connection.execute(_HEAD, (conversation_id,)).fetchone()
    return (row[0], row[1], row[2]) if row is not None else (0, 0, 0)


def _user_head(connection: sqlite3.Connection, user_id: str, conversation_id: str) -> Head:
    seq, ordinal, time_us = _head(connection, conversation_id)
    if inbox_user(conversation_id) is not None:
        return Head(conversation_id, seq, 0, 0, time_us)
    row = connection.execute(
        "SELECT seq FROM read_marks WHERE user_id = ? AND conversation_id = ?", (user_id, conversation_id)
    ).fetchone()
    read_seq = row[0] if row is not None else 0
    # The newest ordinal at or below the mark, whichever lane it stands in.
    read_ordinal = connection.execute(
        "SELECT COALESCE(MAX(ordinal), 0) FROM ("
        " SELECT * FROM (SELECT ordinal FROM events WHERE conversation_id = ?1 AND lane = 0 AND seq <= ?2"
        " ORDER BY seq DESC LIMIT 1) UNION ALL SELECT * FROM (SELECT ordinal FROM events"
        " WHERE conversation_id = ?1 AND lane = 1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1))",
        (conversation_id, read_seq),
    ).fetchone()[0]
    return Head(conversation_id, seq, ordinal - read_ordinal, read_seq, time_us)
