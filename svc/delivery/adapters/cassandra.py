"""The message store in Cassandra. Schema and cell versions: `svc.backends.messages_cql`; batches, tries, time-outs:
`svc.backends.cassandra`."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar

from svc.backends.cassandra import Cassandra, Insert, Mutation
from svc.backends.messages_cql import bucket_of, is_seq
from svc.backends.messages_schema import CHANGE_LANE, MESSAGE_LANE, WITHDRAWN
from svc.delivery.model import BUCKET_EVENTS, Event, Key, KeyRow, Position, Row, Slice, Target, slice_of
from svc.delivery.wire import edited_body
from svc.kernel.ids import direct_members
from svc.kernel.record import Kind

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

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
# Without a timestamp of its own: see the table.
_KEY = Insert(
    "INSERT INTO idempotency_keys (conversation_id, sender_id, client_message_id, era, offset, seq, record_id, time_us, digest)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    key=2,
)
_BUCKET = Insert("INSERT INTO conversation_heads (conversation_id, bucket) VALUES (?, ?) USING TIMESTAMP ?", key=1)
_LISTED = Insert(
    "INSERT INTO conversations_by_user (user_id, conversation_id, version, member, seq) VALUES (?, ?, ?, ?, ?)"
    " USING TIMESTAMP ?",
    key=1,
)

_NEWEST_BUCKET = "SELECT bucket FROM conversation_heads WHERE conversation_id = ?"
_PLACES = (
    "SELECT era, offset, seq, record_id, time_us, ordinal, version, kind FROM events"
    " WHERE conversation_id = ? AND bucket = ? AND lane = ? AND seq < ? LIMIT ?"
)
_KEYS = (
    "SELECT client_message_id, era, offset, seq, record_id, time_us, digest FROM idempotency_keys"
    " WHERE conversation_id = ? AND sender_id = ? AND client_message_id IN ?"
)
_TARGETS = (
    "SELECT seq, record_id, sender_id, kind FROM events"
    " WHERE conversation_id = ? AND bucket = ? AND lane IN (0, 1) AND seq IN ?"
)
_VERSIONS = "SELECT seq, body_version FROM events WHERE conversation_id = ? AND bucket = ? AND lane = 0 AND seq IN ?"
_ABOVE_ALL = (1 << 63) - 1
_FIRST_PLACES = 8  # most conversations are loaded with nothing left to do: their newest row is below the start
_MORE_PLACES = 500
_LOADED_TOGETHER = 64  # conversations; many more would hold up what the newest records need
_TOGETHER = 100  # rows of one partition that one statement asks for


class CassandraMessageStore:
    """`svc.delivery.ports.MessageStore` in one keyspace."""

    def __init__(self, cassandra: Cassandra) -> None:
        self._cassandra = cassandra
        self._loading = asyncio.Semaphore(_LOADED_TOGETHER)

    async def load(self, starts: dict[str, Position]) -> dict[str, Slice]:
        async def loaded(name: str, start: Position) -> Slice:
            async with self._loading:
                return await self._slice(name, start)

        slices = await asyncio.gather(*(loaded(name, start) for name, start in starts.items()))
        return dict(zip(starts, slices, strict=True))

    async def keys(self, keys: Sequence[Key]) -> dict[Key, KeyRow]:
        async def look(place: tuple[str, str], names: Sequence[str]) -> list[tuple[Key, KeyRow]]:
            rows = await self._cassandra.rows(_KEYS, (*place, names))
            return [(Key(*place, name), KeyRow(Position(era, offset), *rest)) for name, era, offset, *rest in rows]

        return dict(await _side_by_side(look, ((key[:2], key.client_message_id) for key in keys)))

    async def targets(self, targets: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Target]:
        async def look(place: tuple[str, int], seqs: Sequence[int]) -> list[tuple[tuple[str, int], Target]]:
            rows = await self._cassandra.rows(_TARGETS, (*place, seqs))
            return [
                ((place[0], seq), Target(seq, record_id, sender_id, Kind(kind)))
                for seq, record_id, sender_id, kind in rows
                if kind is not None
            ]

        return dict(await _side_by_side(look, _places(targets)))

    async def withdrawn(self, targets: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        async def look(place: tuple[str, int], seqs: Sequence[int]) -> list[tuple[str, int]]:
            rows = await self._cassandra.rows(_VERSIONS, (*place, seqs))
            return [(place[0], seq) for seq, version in rows if version >= WITHDRAWN]

        return set(await _side_by_side(look, _places(targets)))

    async def write(self, events: Sequence[Event]) -> None:
        opened = [event for event in events if event.seq % BUCKET_EVENTS == 0]
        if opened:  # stored before anything that lies in the new bucket (W5)
            await self._cassandra.write([(_BUCKET, (it.conversation_id, it.bucket, it.seq)) for it in opened])
        await self._cassandra.write(list(chain.from_iterable(map(self._mutations, events))))

    async def is_empty(self) -> bool:
        return not await self._cassandra.rows("SELECT conversation_id FROM events LIMIT 1")

    async def ping(self) -> None:
        await self._cassandra.ping()

    async def _slice(self, name: str, start: Position) -> Slice:
        # Most conversations lie in bucket 0 alone: it is read at once, and again if it is not the newest.
        recorded, places = await asyncio.gather(
            self._cassandra.rows(_NEWEST_BUCKET, (name,)), self._bucket(name, 0, start)
        )
        bucket = recorded[0][0] if recorded else 0
        if bucket:
            places = await self._bucket(name, bucket, start)
            if not places:
                bucket -= 1
                places = await self._bucket(name, bucket, start)
        rows = list(places)
        # Positions grow with seqs: below a row that is below the start all are.
        while bucket and all(row.position >= start for row in places):
            bucket -= 1
            places = await self._bucket(name, bucket, start)
            rows += places
        return slice_of(rows, start)

    async def _bucket(self, name: str, bucket: int, start: Position) -> list[Row]:
        lanes = (self._lane(name, bucket, lane, start) for lane in (MESSAGE_LANE, CHANGE_LANE))
        return list(chain.from_iterable(await asyncio.gather(*lanes)))

    async def _lane(self, name: str, bucket: int, lane: int, start: Position) -> list[Row]:
        """From the newest down to the first that is below the start, and perhaps some more."""
        found: list[Row] = []
        before, limit = _ABOVE_ALL, _FIRST_PLACES
        while True:
            rows = await self._cassandra.rows(_PLACES, (name, bucket, lane, before, limit))
            found += [_row(row) for row in rows if row[-1] is not None]
            if len(rows) < limit or (found and found[-1].position < start):
                return found
            before, limit = rows[-1][2], _MORE_PLACES

    def _mutations(self, event: Event) -> Iterator[Mutation]:
        yield _EVENT, self._event_row(event)
        if event.kind is not Kind.UNPROCESSABLE:
            yield _KEY, _key_row(event)
        if (target := self._target_row(event)) is not None:
            yield _BODY, target
        yield from ((_LISTED, row) for row in _list_rows(event))

    def _event_row(self, event: Event) -> tuple[object, ...]:
        record, name, seq = event.record, event.conversation_id, event.seq
        return (
            name,
            event.bucket,
            MESSAGE_LANE if event.kind is Kind.MESSAGE else CHANGE_LANE,
            seq,
            int(event.kind),
            record.sender_id,
            record.record_id,
            record.client_message_id,
            event.time_us,
            event.ordinal,
            event.version,
            *event.position,
            record.target_seq,
            self._cassandra.seal.seal(name, seq, event.kind, record.body),
            seq,
            seq,
        )

    def _target_row(self, event: Event) -> tuple[object, ...] | None:
        name, target = event.conversation_id, event.record.target_seq
        if event.kind is Kind.EDIT:
            body, version = edited_body(event.record.body), event.seq
        elif event.kind is Kind.WITHDRAWAL:
            body, version = b"", WITHDRAWN + event.seq
        else:
            return None
        cell = self._cassandra.seal.seal(name, target, Kind.MESSAGE, body)
        return (name, bucket_of(target), MESSAGE_LANE, target, cell, version, version)


def _row(values: tuple[Any, ...]) -> Row:
    era, offset, seq, record_id, time_us, ordinal, version, kind = values
    return Row(Position(era, offset), seq, record_id, time_us, ordinal, version, Kind(kind))


def _key_row(event: Event) -> tuple[object, ...]:
    record, row = event.record, event.key_row()
    return (
        record.conversation_id,
        record.sender_id,
        record.client_message_id,
        *row.position,
        row.seq,
        row.record_id,
        row.time_us,
        row.digest,
    )


def _list_rows(event: Event) -> Iterator[tuple[object, ...]]:
    name, version = event.conversation_id, event.record.version
    if event.seq == 1 and (users := direct_members(name)) is not None:
        yield from ((user, name, 0, True, 1, 0) for user in users)
    if event.kind is Kind.MEMBERSHIP:
        for member, changed in ((True, event.record.joined), (False, event.record.left)):
            yield from ((user, name, version, member, event.seq, version) for user in changed)


def _places(targets: Iterable[tuple[str, int]]) -> Iterator[tuple[tuple[str, int], int]]:
    return (((name, bucket_of(seq)), seq) for name, seq in targets if is_seq(seq))  # records may name what cannot exist


async def _side_by_side(look: Any, wanted: Iterable[tuple[K, V]]) -> list[Any]:
    """What `look(partition, rows)` finds, for some rows of a partition at a time, all at the same time."""
    partitions: dict[K, list[V]] = defaultdict(list)
    for place, item in wanted:
        partitions[place].append(item)
    portions = [
        look(place, items[at : at + _TOGETHER])
        for place, items in partitions.items()
        for at in range(0, len(items), _TOGETHER)
    ]
    return list(chain.from_iterable(await asyncio.gather(*portions)))
