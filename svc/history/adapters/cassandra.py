"""The message store in Cassandra, for reading (`svc.backends.messages_cql`).

Two lanes of one bucket are read by one statement, so that their rows are of one moment on each node that is asked. Two nodes
may still be asked at two moments, and a write that was under way when its owner died may stand on one of them: such a row is
not stored yet. So a run ends where a number is missing; all that was acknowledged to anybody stands below.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from svc.backends.cassandra import Cassandra
from svc.backends.messages_cql import BUCKET_EVENTS, bucket_of, is_seq
from svc.backends.messages_heads import Heads
from svc.backends.messages_schema import MESSAGE_LANE, WITHDRAWN
from svc.backends.sealing import UnreadableContentError
from svc.history.model import Conversation, Place, Run, StoredEvent
from svc.kernel.errors import Unavailable
from svc.kernel.record import Kind

log = logging.getLogger(__name__)

_MEMBER = "SELECT member FROM conversations_by_user WHERE user_id = ? AND conversation_id = ?"
_LIST = "SELECT conversation_id, member FROM conversations_by_user WHERE user_id = ?"
_RECORD = (
    "SELECT record_id FROM events WHERE conversation_id = ? AND bucket = ? AND lane IN (0, 1) AND seq = ?"
)
_COLUMNS = "seq, kind, sender_id, record_id, client_message_id, time_us, ordinal, body, body_version, target_seq"
_BUCKET = f"SELECT {_COLUMNS} FROM events WHERE conversation_id = ? AND bucket = ?"  # noqa: S608 - constants
_BELOW = f"{_BUCKET} AND lane = {MESSAGE_LANE} AND seq < ? LIMIT ?"
_ABOVE = f"{_BUCKET} AND lane = {MESSAGE_LANE} AND seq > ? ORDER BY lane DESC, seq ASC LIMIT ?"
_SPAN = f"{_BUCKET} AND lane IN (0, 1) AND seq >= ? AND seq <= ?"
_VERSIONS = "SELECT seq, body_version FROM events WHERE conversation_id = ? AND bucket = ? AND lane = 0 AND seq IN ?"

_SPAN_EVENTS = 100
"""Numbers that one statement asks for: at most 1.6 MB, and the whole of a run as most ask for it."""


class CassandraMessageStore:
    """Serves `MessageStore`."""

    def __init__(self, cassandra: Cassandra) -> None:
        self._cassandra = cassandra
        self._heads = Heads(cassandra)

    async def is_member(self, user_id: str, conversation_id: str) -> bool:
        rows = await self._cassandra.rows(_MEMBER, (user_id, conversation_id))
        return bool(rows and rows[0][0])

    async def record_id(self, conversation_id: str, seq: int) -> int | None:
        if not is_seq(seq):
            return None
        rows = await self._cassandra.rows(_RECORD, (conversation_id, bucket_of(seq), seq))
        return next((record_id for (record_id,) in rows if record_id is not None), None)

    async def messages_before(self, conversation_id: str, seq: int | None, limit: int) -> Sequence[StoredEvent]:
        if seq is not None and is_seq(seq):
            bucket, before = bucket_of(seq - 1), seq
        else:
            bucket = await self._heads.bucket(conversation_id)
            before = (bucket + 1) * BUCKET_EVENTS
        found: list[StoredEvent] = []
        while bucket >= 0:
            asked = limit - len(found)
            rows = await self._cassandra.rows(_BELOW, (conversation_id, bucket, before, asked))
            found += self._messages(conversation_id, rows)
            if len(found) == limit:
                break
            if len(rows) == asked:  # what was left out is no message
                before = rows[-1][0]
            else:
                bucket -= 1
        return tuple(found)
