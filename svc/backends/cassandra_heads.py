"""The newest events of conversations in Cassandra, as everybody who reads needs them (protocol W5)."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from svc.backends.cassandra import Cassandra
from svc.backends.messages_cql import bucket_of
from svc.backends.messages_schema import CHANGE_LANE, MESSAGE_LANE

_BUCKET = "SELECT bucket FROM conversation_heads WHERE conversation_id = ?"
_NEWEST = (
    "SELECT seq, ordinal, time_us, kind FROM events"
    " WHERE conversation_id = ? AND bucket = ? AND lane = ? AND seq <= ? LIMIT ?"
)
_ABOVE_ALL = (1 << 63) - 1
_ROWS = 4  # one would do, but for rows that hold no event
_TOGETHER = 64  # conversations that are looked up at a time for one caller


class Newest(NamedTuple):
    """An event, as far as lists of conversations show it."""

    seq: int
    ordinal: int
    time_us: int


NOTHING = Newest(0, 0, 0)


class Heads:
    """Looks them up. Raises Unavailable."""

    def __init__(self, cassandra: Cassandra) -> None:
        self._cassandra = cassandra

    async def bucket(self, conversation_id: str) -> int:
        """The newest bucket; it may be empty, then the newest events lie in the one below."""
        rows = await self._cassandra.rows(_BUCKET, (conversation_id,))
        return rows[0][0] if rows else 0

    async def newest(self, conversation_id: str) -> Newest:
        """The newest event of a conversation, NOTHING when it has none."""
        # Most conversations lie in bucket 0 alone: it is read at once, and again if it is not the newest.
        bucket, first = await asyncio.gather(self.bucket(conversation_id), self._newest(conversation_id, 0, _ABOVE_ALL))
        return first if bucket == 0 else await self._down_from(conversation_id, bucket, _ABOVE_ALL)

    async def newest_of(self, conversation_ids: Sequence[str]) -> list[Newest]:
        """Of many, in the order given."""
        at_once = asyncio.Semaphore(_TOGETHER)

        async def one(conversation_id: str) -> Newest:
            async with at_once:
                return await self.newest(conversation_id)

        return list(await asyncio.gather(*map(one, conversation_ids)))

    async def ordinal(self, conversation_id: str, seq: int) -> int:
        """How many messages there are up to and including an event; it need not exist."""
        if seq <= 0:
            return 0
        return (await self._down_from(conversation_id, bucket_of(seq), seq)).ordinal

    async def _down_from(self, conversation_id: str, bucket: int, seq: int) -> Newest:
        while True:
            found = await self._newest(conversation_id, bucket, seq)
            if found.seq or bucket == 0:
                return found
            bucket -= 1

    async def _newest(self, conversation_id: str, bucket: int, seq: int) -> Newest:
        lanes = await asyncio.gather(
            *(self._of_lane(conversation_id, bucket, lane, seq) for lane in (MESSAGE_LANE, CHANGE_LANE))
        )
        return max(lanes)

    async def _of_lane(self, conversation_id: str, bucket: int, lane: int, seq: int) -> Newest:
        limit = _ROWS
        while True:
            rows = await self._cassandra.rows(_NEWEST, (conversation_id, bucket, lane, seq, limit))
            for found, ordinal, time_us, kind in rows:
                if kind is not None:
                    return Newest(found, ordinal, time_us)
            if len(rows) < limit:
                return NOTHING
            limit *= 8
