"""The message store of the simulation: quorum writes and reads over three replicas, and each process's port to it.

As Cassandra with LOCAL_QUORUM both ways and `read_repair = 'BLOCKING'` (its default): what one quorum read returned, every
later one returns. That is needed: an owner tells heads that it has read, and clients then pull them.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from svc.backends.messages_schema import WITHDRAWN
from svc.delivery.model import Event, Key, KeyRow, Position, Row, Slice, Target, slice_of
from svc.kernel.errors import Unavailable
from svc.kernel.record import Kind
from tests.simulation.process import Process
from tests.simulation.replicas import (
    REPLICAS,
    Bucketed,
    Cells,
    Fixed,
    KeyWritten,
    Mutation,
    Replica,
    bucket_events,
    mutations_of,
)

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")


class SharedStore:
    """The replicas. Reads of a quorum repair what they see before they return it."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.replicas = [Replica.empty(number) for number in range(REPLICAS)]
        self.only: Replica | None = None  # what lands partly lands here alone
        self.failing_bucket: int | None = None  # writes of event rows of this bucket fail

    def serving(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.serving]

    def quorum(self) -> list[Replica]:
        """Two replicas that answer."""
        serving = self.serving()
        if len(serving) > 2:
            slow = [replica for replica in serving if replica.slow]
            left_out = slow[0] if slow and self.world.chance(0.9) else self.world.random.choice(serving)
            return [replica for replica in serving if replica is not left_out]
        return serving

    def apply(self, replica: Replica, mutations: Sequence[Mutation]) -> None:
        for mutation in mutations:
            replica.apply(mutation)

    def scan(self, conversation_id: str, bucket: int, low: int = 0, high: int = 1 << 40) -> Iterator[tuple[int, Cells]]:
        """Rows of one partition at quorum, newest first. What was returned is repaired, and only that."""
        pair = self.quorum()
        held = [replica.events[conversation_id][bucket] for replica in pair]
        for seq in sorted(held[0].keys() | held[1].keys(), reverse=True):
            if not low <= seq <= high:
                continue
            one, other = held[0].get(seq), held[1].get(seq)
            if one is None or other is None or not one.same(other):
                for replica, cells in ((pair[0], other), (pair[1], one)):
                    if cells is not None:
                        row = (seq, cells.fixed, cells.body, cells.body_version)
                        replica.apply(Bucketed(conversation_id, bucket, (row,)))
            if held[0][seq].fixed is not None:
                yield seq, held[0][seq]

    def buckets(self, conversation_id: str) -> list[int]:
        """The partitions of a conversation, newest first."""
        found: set[int] = set()
        for replica in self.replicas:
            found.update(replica.events[conversation_id])
        return sorted(found, reverse=True)

    def row(self, conversation_id: str, seq: int) -> Cells | None:
        """One row at quorum."""
        return next((cells for _, cells in self.scan(conversation_id, seq // bucket_events(), seq, seq)), None)

    def key(self, key: Key) -> KeyRow | None:
        """One key row at quorum."""
        pair = self.quorum()
        held = [replica.keys[key] for replica in pair if key in replica.keys]
        if not held:
            return None
        newest = max(held, key=lambda it: it[0])
        for replica in pair:
            replica.apply(KeyWritten(key, *newest))
        return newest[1]

    def every_quorum(self, holds: Callable[[Replica], bool]) -> bool:
        """Whether whoever reads at quorum sees it."""
        return sum(not holds(replica) for replica in self.replicas if replica.serving) <= 1

    def repair(self) -> None:
        """All replicas hold the same."""
        for replica in self.replicas:
            for other in self.replicas:
                if other is not replica:
                    replica.copy_from(other)
            replica.serving, replica.slow = True, False

    def slice(self, conversation_id: str, start: Position) -> Slice:
        """A conversation from its head down to the first row of each lane below start."""
        rows: list[Row] = []
        open_lanes = {True, False}
        for bucket in self.buckets(conversation_id):
            for seq, cells in self.scan(conversation_id, bucket):
                fixed = cells.fixed
                assert fixed is not None
                lane = fixed.kind is Kind.MESSAGE
                if lane in open_lanes:
                    rows.append(_row(seq, fixed))
                    if fixed.position < start:
                        open_lanes.discard(lane)
            if not open_lanes:
                break
        return slice_of(rows, start)

    def look_at_head(self, conversation_id: str) -> None:
        """As lists of conversations do: the newest row is read, and repaired, and none below it."""
        for bucket in self.buckets(conversation_id)[:1]:
            next(self.scan(conversation_id, bucket), None)


def _row(seq: int, fixed: Fixed) -> Row:
    return Row(fixed.position, seq, fixed.record_id, fixed.time_us, fixed.ordinal, fixed.version, fixed.kind)


class StorePort:
    """`svc.delivery.ports.MessageStore`, as one process reaches it."""

    def __init__(self, store: SharedStore, process: Process) -> None:
        self._store = store
        self._process = process
        self._world = store.world

    async def load(self, starts: dict[str, Position]) -> dict[str, Slice]:
        def read() -> dict[str, Slice]:
            return {name: self._store.slice(name, start) for name, start in starts.items()}

        return await self._read("store.load", starts, read)

    async def keys(self, keys: Sequence[Key]) -> dict[Key, KeyRow]:
        def read() -> dict[Key, KeyRow]:
            return {key: row for key in keys if (row := self._store.key(key)) is not None}

        return await self._read("store.keys", len(keys), read)

    async def targets(self, targets: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Target]:
        def read() -> dict[tuple[str, int], Target]:
            found = {}
            for target in targets:
                cells = self._store.row(*target)
                if cells is not None and (fixed := cells.fixed) is not None:
                    found[target] = Target(target[1], fixed.record_id, fixed.sender_id, fixed.kind)
            return found

        return await self._read("store.targets", targets, read)

    async def withdrawn(self, targets: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        def read() -> set[tuple[str, int]]:
            rows = {target: self._store.row(*target) for target in targets}
            return {target for target, cells in rows.items() if cells is not None and cells.body_version >= WITHDRAWN}

        return await self._read("store.withdrawn", targets, read)

    async def ping(self) -> None:
        await self._read("store.ping", "", lambda: None)

    async def _read(self, call: str, text: object, read: Callable[[], T]) -> T:
        # The answer is old by the time it arrives.
        await self._process.begin(call, text)
        await asyncio.sleep(self._world.delay())
        found = read()
        if self._world.chance(0.3):
            await asyncio.sleep(self._world.delay())
        await self._process.end(call)
        if self._process.store_cut or self._world.chance(self._world.weather.read_fails):
            raise Unavailable("the store does not answer")
        return found

    async def write(self, events: Sequence[Event]) -> None:
        call = "store.write"
        world = self._world
        await self._process.begin(call, _named(events) if world.tracing else "")
        world.checker.writing(self._process.name, events)
        mutations = mutations_of(list(events), int(asyncio.get_running_loop().time() * 1e6))
        if self._process.store_cut:
            await asyncio.sleep(1.0)
            await self._process.end(call)
            raise Unavailable("the store cannot be reached")
        if self._process.stops_at is not None and self._process.reach(call, "half"):
            self._land_partly(mutations)
            await self._process.end(call)
            raise Unavailable("the write's outcome is unknown")
        if self._store.failing_bucket is not None:
            found = [it for it in mutations if isinstance(it, Bucketed) and it.bucket == self._store.failing_bucket]
            if found:
                self._land([it for it in mutations if it not in found])
                await self._process.end(call)
                raise Unavailable("one bucket cannot be written")
        if world.chance(world.weather.store_unknown):
            self._land_partly(mutations)
            await asyncio.sleep(world.between(0.005, 0.5))
            await self._process.end(call)
            raise Unavailable("the write's outcome is unknown")
        await self._process.land(world.delay(), partial(self._land, mutations))
        await self._process.end(call)

    def _land(self, mutations: Sequence[Mutation]) -> None:
        """At a quorum now; at the third replica now or later, or not before it is repaired."""
        store, world = self._store, self._world
        serving = store.serving()
        late = [replica for replica in store.replicas if replica not in serving]
        if len(serving) > 2 and world.chance(world.weather.replica_late):
            late = [world.random.choice([replica for replica in serving if replica.slow] or serving)]
        for replica in store.replicas:
            if replica not in late:
                store.apply(replica, mutations)
            elif world.chance(0.5):
                asyncio.get_running_loop().call_later(
                    world.between(0.01, 5.0), partial(store.apply, replica, mutations)
                )

    def _land_partly(self, mutations: Sequence[Mutation]) -> None:
        """Each mutation by itself: at some replicas, now or later, or nowhere."""
        store, world = self._store, self._world
        spread = world.random.random()
        for mutation in mutations:
            for replica in [store.only] if store.only else store.replicas:
                if world.chance(spread) and replica.serving:
                    if world.chance(0.7):
                        store.apply(replica, [mutation])
                    else:
                        later = partial(store.apply, replica, [mutation])
                        asyncio.get_running_loop().call_later(world.between(0.01, 4.0), later)


def _named(events: Sequence[Event]) -> str:
    return " ".join(f"{event.conversation_id}:{event.seq}" for event in events)
