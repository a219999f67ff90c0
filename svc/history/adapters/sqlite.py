"""The message store in its SQLite file, for reading (`svc.backends.messages_schema`)."""

import sqlite3
from collections.abc import Sequence
from typing import Any

from svc.backends.messages_schema import CHANGE_LANE, MESSAGE_LANE, WITHDRAWN
from svc.backends.sqlite import Database
from svc.history.model import Conversation, Place, Run, StoredEvent, within
from svc.kernel.record import Kind

# In the order of StoredEvent's fields.
_COLUMNS = """events.conversation_id, events.seq, events.kind, events.sender_id, events.record_id, events.client_message_id,
  events.time_us, events.ordinal, events.body, events.body_version"""

_MESSAGES = f"""SELECT {_COLUMNS}, 0 FROM events
  WHERE conversation_id = :conversation AND lane = {MESSAGE_LANE} AND kind = {int(Kind.MESSAGE)}
  AND seq > :after AND seq < :before ORDER BY seq"""  # noqa: S608 - constants

# One statement sees one moment: two, one for each lane, could show event n + 1 and not yet n. SQLite merges the lanes row by
# row along the primary key, so that nothing is read beyond what is taken.
_RUN = f"""SELECT {_COLUMNS}, 0 FROM events
  WHERE conversation_id = :conversation AND lane = {MESSAGE_LANE} AND seq > :after
UNION ALL SELECT {_COLUMNS}, coalesce(target.body_version, 0) FROM events LEFT JOIN events AS target
  ON events.kind = {int(Kind.EDIT)} AND target.conversation_id = events.conversation_id AND target.lane = {MESSAGE_LANE}
  AND target.seq = events.target_seq
  WHERE events.conversation_id = :conversation AND events.lane = {CHANGE_LANE} AND events.seq > :after
ORDER BY seq LIMIT :limit"""  # noqa: S608 - constants


def _newest(column: str, lane: int, condition: str = "") -> str:
    return f"""coalesce((SELECT {column} FROM events WHERE conversation_id = mine.conversation_id AND lane = {lane} {condition}
  ORDER BY seq DESC LIMIT 1), 0)"""  # noqa: S608 - constants


_READ = "AND seq <= read_seq"
# What decides the order is read of every conversation, all else of one page of them.
_CONVERSATIONS = f"""WITH mine AS (
  SELECT conversation_id FROM conversations_by_user WHERE user_id = :user AND member = 1
), timed AS (
  SELECT conversation_id, max({_newest("time_us", MESSAGE_LANE)}, {_newest("time_us", CHANGE_LANE)}) AS time_us FROM mine
), page AS (
  SELECT * FROM timed WHERE (time_us, conversation_id) < (:time_us, :conversation)
  ORDER BY time_us DESC, conversation_id DESC LIMIT :limit
)
SELECT conversation_id,
  max({_newest("seq", MESSAGE_LANE)}, {_newest("seq", CHANGE_LANE)}),
  time_us, read_seq,
  max({_newest("ordinal", MESSAGE_LANE)}, {_newest("ordinal", CHANGE_LANE)})
  - max({_newest("ordinal", MESSAGE_LANE, _READ)}, {_newest("ordinal", CHANGE_LANE, _READ)})
FROM (
  SELECT page.*, coalesce(read_marks.seq, 0) AS read_seq
  FROM page LEFT JOIN read_marks ON user_id = :user AND read_marks.conversation_id = page.conversation_id
) AS mine ORDER BY time_us DESC, conversation_id DESC"""  # noqa: S608 - constants

_SEQ = 1
_HIGHEST = (1 << 63) - 1
# Behind no conversation: greater than the place of every one of them.
_BEFORE_ALL = Place(_HIGHEST, "")


class SqliteMessageStore:
    """Serves `MessageStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_member(self, user_id: str, conversation_id: str) -> bool:
        statement = "SELECT 1 FROM conversations_by_user WHERE user_id = ? AND conversation_id = ? AND member = 1"
        row = await self._database.read(
            lambda connection: connection.execute(statement, (user_id, conversation_id)).fetchone()
        )
        return row is not None

    async def record_id(self, conversation_id: str, seq: int) -> int | None:
        statement = "SELECT record_id FROM events WHERE conversation_id = ? AND lane IN (0, 1) AND seq = ?"
        row = await self._database.read(
            lambda connection: connection.execute(statement, (conversation_id, seq)).fetchone()
        )
        return None if row is None else int(row[0])

    async def messages_before(self, conversation_id: str, seq: int | None, limit: int) -> Sequence[StoredEvent]:
        before = _HIGHEST if seq is None else seq
        return await self._messages(f"{_MESSAGES} DESC LIMIT :limit", conversation_id, 0, before, limit)

    async def messages_after(self, conversation_id: str, seq: int, limit: int) -> Sequence[StoredEvent]:
        return await self._messages(f"{_MESSAGES} LIMIT :limit", conversation_id, seq, _HIGHEST, limit)

    async def _messages(
        self, statement: str, conversation_id: str, after: int, before: int, limit: int
    ) -> Sequence[StoredEvent]:
        values = {"conversation": conversation_id, "after": after, "before": before, "limit": limit}
        rows = await self._database.read(lambda connection: connection.execute(statement, values).fetchall())
        return tuple(_event(row) for row in rows)

    async def run_after(self, conversation_id: str, seq: int, limit: int, max_bytes: int) -> Run:
        values = {"conversation": conversation_id, "after": seq, "limit": limit}

        def work(connection: sqlite3.Connection) -> Run:
            events = tuple(within(max_bytes, map(_event, connection.execute(_RUN, values))))
            head = "SELECT max(seq) FROM events WHERE conversation_id = ? AND lane = ?"
            lanes = (MESSAGE_LANE, CHANGE_LANE)
            newest = [connection.execute(head, (conversation_id, lane)).fetchone()[0] or 0 for lane in lanes]
            return Run(events, max(newest))

        return await self._database.read(work)

    async def conversations(self, user_id: str, after: Place | None, limit: int) -> Sequence[Conversation]:
        place = after or _BEFORE_ALL
        values = {
            "user": user_id,
            "time_us": place.time_us,
            "conversation": place.conversation_id,
            "limit": limit,
        }
        rows = await self._database.read(lambda connection: connection.execute(_CONVERSATIONS, values).fetchall())
        return tuple(Conversation(*row) for row in rows)


def _event(row: tuple[Any, ...]) -> StoredEvent:
    *columns, body_version, target_version = row
    withdrawn, edited = body_version >= WITHDRAWN, columns[_SEQ] < body_version < WITHDRAWN
    return StoredEvent(*(*columns, edited, withdrawn, target_version >= WITHDRAWN))
