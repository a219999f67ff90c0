"""The message store in Cassandra, for reading (`svc.backends.messages_cql`).

Two lanes of one bucket are read by one statement, so that their rows are of one moment on each node that is asked. Two nodes
may still be asked at two moments, and a write that was under way when its owner died may stand on one of them: such a row is
not stored yet. So a run ends where a number is missing; all that was acknowledged to anybody stands below.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import count, takewhile
from typing import Any, NamedTuple

from svc.backends.cassandra import Cassandra
from svc.backends.messages_cql import BUCKET_EVENTS, bucket_of, is_seq
from svc.backends.messages_heads import Heads
from svc.backends.messages_schema import MESSAGE_LANE, WITHDRAWN
from svc.backends.sealing import UnreadableContentError
from svc.history.model import Conversation, Place, Run, StoredEvent, within
from svc.kernel.errors import Unavailable
from svc.kernel.record import Kind

log = logging.getLogger(__name__)

_MEMBER = "SELECT member FROM conversations_by_user WHERE user_id = ? AND conversation_id = ?"
_LIST = "SELECT conversation_id, member FROM conversations_by_user WHERE user_id = ?"
_RECORD = "SELECT record_id FROM events WHERE conversation_id = ? AND bucket = ? AND lane IN (0, 1) AND seq = ?"
_COLUMNS = "seq, kind, sender_id, record_id, client_message_id, time_us, ordinal, body, body_version, target_seq"
_BUCKET = f"SELECT {_COLUMNS} FROM events WHERE conversation_id = ? AND bucket = ?"  # noqa: S608 - constants
_BELOW = f"{_BUCKET} AND lane = {MESSAGE_LANE} AND seq < ? LIMIT ?"
_ABOVE = f"{_BUCKET} AND lane = {MESSAGE_LANE} AND seq > ? ORDER BY lane DESC, seq ASC LIMIT ?"
_SPAN = f"{_BUCKET} AND lane IN (0, 1) AND seq >= ? AND seq <= ?"
_VERSIONS = "SELECT seq, body_version FROM events WHERE conversation_id = ? AND bucket = ? AND lane = 0 AND seq IN ?"

_SPAN_EVENTS = 100
"""Numbers that one statement asks for: at most 1.6 MB, and the whole of a run as most ask for it."""


_SEQ, _KIND = 0, 1


class _Row(NamedTuple):
    """The columns of an event, in their order; `body` is sealed."""

    seq: int
    kind: int
    sender_id: str
    record_id: int
    client_message_id: str
    time_us: int
    ordinal: int
    body: bytes
    body_version: int
    target_seq: int


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
        newest: int | None = None
        if seq is not None and is_seq(seq):
            bucket, before = bucket_of(seq - 1), seq
        else:
            bucket = newest = await self._heads.bucket(conversation_id)
            before = (bucket + 1) * BUCKET_EVENTS
        found: list[StoredEvent] = []
        while bucket >= 0:
            asked = limit - len(found)
            rows = await self._cassandra.rows(_BELOW, (conversation_id, bucket, before, asked))
            found += self._messages(conversation_id, rows)
            if len(found) == limit:
                break
            if len(rows) == asked:
                before = rows[-1][0]  # some were no messages
                continue
            if newest is None:
                newest = await self._heads.bucket(conversation_id)
            bucket = min(bucket - 1, newest)
        return tuple(found)

    async def messages_after(self, conversation_id: str, seq: int, limit: int) -> Sequence[StoredEvent]:
        found: list[StoredEvent] = []
        bucket, after, newest = bucket_of(seq + 1), seq, None
        while is_seq(after + 1):
            asked = limit - len(found)
            rows = await self._cassandra.rows(_ABOVE, (conversation_id, bucket, after, asked))
            found += self._messages(conversation_id, rows)
            if len(found) == limit:
                break
            if len(rows) == asked:
                after = rows[-1][0]
                continue
            if newest is None:
                newest = await self._heads.bucket(conversation_id)
            if bucket >= newest:
                break
            bucket += 1
        return tuple(found)

    async def run_after(self, conversation_id: str, seq: int, limit: int, max_bytes: int) -> Run:
        rows: list[_Row] = []
        at, top, size, ended = seq, 0, 0, False
        while not ended and at < seq + limit and size < max_bytes and is_seq(at + 1):
            end = min(at + _SPAN_EVENTS, seq + limit, (bucket_of(at + 1) + 1) * BUCKET_EVENTS - 1)
            span, top = await self._span(conversation_id, at, end)
            rows += span
            at += len(span)
            size += sum(len(row.body) for row in span)
            ended = at < end
        if top > at == seq:
            raise Unavailable(f"event {seq + 1} of {conversation_id} is not stored yet", retry_after=1.0)
        if not ended or not (rows or top or seq == 0):
            top = (await self._heads.newest([conversation_id]))[conversation_id].seq
        gone = await self._withdrawn(conversation_id, rows)
        events = (self._event(conversation_id, row, gone) for row in rows)
        return Run(tuple(within(max_bytes, events)), max(top, at if rows else 0))

    async def conversations(self, user_id: str, after: Place | None, limit: int) -> Sequence[Conversation]:
        rows = await self._cassandra.rows(_LIST, (user_id,))
        newest = await self._heads.newest(name for name, member in rows if member)
        places = sorted((Place(head.time_us, name) for name, head in newest.items()), reverse=True)
        page = [place for place in places if after is None or place < after][:limit]
        shown = {place.conversation_id: newest[place.conversation_id] for place in page}
        readings = await self._heads.readings(user_id, shown)
        return tuple(
            Conversation(name, head.seq, head.time_us, readings[name].seq, readings[name].unread)
            for name, head in shown.items()
        )

    async def _span(self, name: str, after: int, end: int) -> tuple[list[_Row], int]:
        """The events after + 1, after + 2 …, up to `end`, where the bucket ends or before; and the highest number there is from
        `after` on, 0 when there is none."""
        found = await self._read_span(name, after, end)
        if _is_torn(found, after):
            # Whoever wrote what stands above had stored what is missing, if that was another write: then it is there by now.
            found = await self._read_span(name, after, end)
            if _is_torn(found, after):
                missing = after + len(_run(found, after)) + 1
                log.warning(
                    "an event is not stored yet, or lost: what stands above it is not shown",
                    extra={"conversation": name, "seq": missing},
                )
        return _run(found, after), max(found, default=0)

    async def _read_span(self, name: str, after: int, end: int) -> dict[int, _Row]:
        rows = await self._cassandra.rows(_SPAN, (name, bucket_of(after + 1), after, end))
        return {values[_SEQ]: _Row._make(values) for values in rows if values[_KIND] is not None}

    async def _withdrawn(self, name: str, rows: Iterable[_Row]) -> set[int]:
        """The messages among those that these events change that were withdrawn by now. A withdrawal among the events counts
        even if the message, in another bucket, is not changed yet."""
        rows = list(rows)
        gone = {row.target_seq for row in rows if row.kind == Kind.WITHDRAWAL}
        edited: dict[int, list[int]] = defaultdict(list)
        for seq in {row.target_seq for row in rows if row.kind == Kind.EDIT} - gone:
            edited[bucket_of(seq)].append(seq)
        asked = (self._cassandra.rows(_VERSIONS, (name, bucket, seqs)) for bucket, seqs in edited.items())
        for versions in await asyncio.gather(*asked):
            gone |= {seq for seq, version in versions if version >= WITHDRAWN}
        return gone

    def _messages(self, name: str, rows: Iterable[Sequence[Any]]) -> list[StoredEvent]:
        return [self._event(name, row, ()) for row in map(_Row._make, rows) if row.kind == Kind.MESSAGE]

    def _event(self, name: str, row: _Row, gone: Container[int]) -> StoredEvent:
        withdrawn = row.body_version >= WITHDRAWN or (row.kind == Kind.MESSAGE and row.seq in gone)
        return StoredEvent(
            conversation_id=name,
            seq=row.seq,
            kind=row.kind,
            sender_id=row.sender_id,
            record_id=row.record_id,
            client_message_id=row.client_message_id,
            time_us=row.time_us,
            ordinal=row.ordinal,
            body=b"" if withdrawn else self._opened(name, row),
            edited=row.seq < row.body_version < WITHDRAWN and not withdrawn,
            withdrawn=withdrawn,
            target_withdrawn=row.kind == Kind.EDIT and row.target_seq in gone,
        )

    def _opened(self, name: str, row: _Row) -> bytes:
        try:
            return self._cassandra.seal.open(name, row.seq, row.kind, row.body)
        except UnreadableContentError as error:
            log.error(
                "stored content cannot be read: it is shown as empty",
                extra={"conversation": name, "seq": row.seq, "error": str(error)},
            )
            return b""


def _run(found: Mapping[int, _Row], after: int) -> list[_Row]:
    return [found[seq] for seq in takewhile(found.__contains__, count(after + 1))]


def _is_torn(found: Mapping[int, _Row], after: int) -> bool:
    return max(found, default=0) > after + len(_run(found, after))
