"""The event log of the simulation: one truth, and each process's port to it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import ACCEPTED, Entry, LoggedEntry
from svc.kernel.log_clock import LogClock
from tests.simulation.process import EPOCH_US, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

Appended = Callable[[str, LoggedEntry], None]


class SharedLog:
    """Topics, partitions, commits. `told` hears of each entry when it is stored."""

    def __init__(self, world: "World", partitions: int) -> None:
        self.world = world
        self.partitions = partitions
        self.topics: dict[str, list[list[LoggedEntry]]] = defaultdict(lambda: [[] for _ in range(partitions)])
        self.commits: dict[tuple[str, str, int], int] = {}
        self.done: dict[int, int] = {}  # per partition, the highest offset that was ever committed in its era
        self.clock_us = 0
        self.jumped_at = float("-inf")
        self.down = False
        self.locked = False  # producers are refused: nobody has looked yet at what an incident left
        self.claiming: set[Process] = set()  # who claims, since the log was cut,
        self.looked: set[Process] = set()  # and has seen where it ends
        self.told: list[Appended] = []
        self.consumers: list[ModelConsumer] = []

    def place(self, topic: str, entries: Sequence[Entry]) -> list[int]:
        """Store entries now."""
        now_us = EPOCH_US + int(asyncio.get_running_loop().time() * 1e6) + self.clock_us
        offsets = []
        for entry in entries:
            partition = self.topics[topic][entry.partition]
            logged = LoggedEntry(entry.partition, len(partition), now_us, entry.key, entry.value)
            partition.append(logged)
            offsets.append(logged.offset)
            for told in self.told:
                told(topic, logged)
        for consumer in self.consumers:
            if consumer.topic == topic:
                consumer.wake.set()
        return offsets

    def jump(self, seconds: float) -> None:
        """Its clock is put right, or wrong."""
        self.clock_us += int(seconds * 1e6)
        self.jumped_at = asyncio.get_running_loop().time()

    def ends(self, topic: str) -> dict[int, int]:
        """Per partition, the offset of the next entry."""
        return {number: len(entries) for number, entries in enumerate(self.topics[topic]) if entries}

    def committed_offset(self, partition: int) -> int:
        """What a claim in the newest era would begin with."""
        era = self.world.agreement.shards.incident
        return max(
            (at for key, at in self.commits.items() if key[2] == partition and era_of(key[0]) in (0, era)), default=0
        )

    def cut(self, ends: dict[int, int]) -> None:
        """Lose the tail of `conversation.accepted`: an incident. Whoever reads it loses the connection."""
        for partition, end in ends.items():
            del self.topics[ACCEPTED][partition][end:]
        self.claiming.clear()
        self.looked.clear()
        self.locked = True
        for consumer in self.consumers:
            consumer.broken = True
            consumer.wake.set()


def era_of(group: str) -> int:
    """The era in which a group's offsets count; 0 for a group that has none."""
    era = group.rpartition(".")[2]
    return int(era) if era.isdecimal() else 0


class ModelConsumer:
    """`svc.kernel.eventlog.Consumer`."""

    def __init__(self, log: SharedLog, process: Process, topic: str, starts: dict[int, int]) -> None:
        self._log = log
        self._process = process
        self.topic = topic
        self.position = dict(starts)
        self.wake = asyncio.Event()
        self.broken = False

    async def fetch(self, max_entries: int) -> Sequence[LoggedEntry]:
        world = self._log.world
        while True:
            await self._process.begin("log.fetch")
            if not self.lag() and not self.broken:
                self.wake.clear()
                await self.wake.wait()
            await asyncio.sleep(world.delay())
            await self._process.turn()
            if self.broken or self._log.down or self._process.log_cut:
                raise Unavailable("the log cannot be read")
            if world.chance(world.weather.read_fails / 10):
                raise Unavailable("the log does not answer")
            if fetched := self._take(min(max_entries, 1 + world.below(world.weather.fetch_entries))):
                return fetched

    def _take(self, count: int) -> list[LoggedEntry]:
        fetched: list[LoggedEntry] = []
        order = list(self.position)
        self._log.world.random.shuffle(order)
        for partition in order:
            start = self.position[partition]
            found = self._log.topics[self.topic][partition][start : start + count - len(fetched)]
            self.position[partition] = start + len(found)
            fetched += found
        return fetched

    async def take(self, partition: int, start: int) -> None:
        await self._process.begin("log.take")
        await asyncio.sleep(self._log.world.delay())
        self.position[partition] = start
        self.wake.set()

    def drop(self, partition: int) -> None:
        self.position.pop(partition, None)

    def lag(self, partition: int | None = None) -> int:
        entries = self._log.topics[self.topic]
        positions = self.position if partition is None else {partition: self.position.get(partition, 1 << 60)}
        return sum(max(0, len(entries[number]) - at) for number, at in positions.items())

    async def close(self) -> None:
        if self in self._log.consumers:
            self._log.consumers.remove(self)


class LogPort:
    """`svc.kernel.eventlog.EventLog`, as one process reaches it."""

    def __init__(self, log: SharedLog, process: Process, clock: LogClock | None = None) -> None:
        self._log = log
        self._process = process
        self._world = log.world
        self._clock = clock

    async def append(self, topic: str, entries: Sequence[Entry]) -> Sequence[int]:
        call = f"log.append {topic}"
        await self._process.begin(call, len(entries))
        offsets, stored_us, began = list[int](), 0, self._world.loop.time()
        weather = self._world.weather
        twice = topic == ACCEPTED and self._world.chance(weather.log_twice)
        given = [*entries, *entries] if twice else list(entries)
        refused = self._log.locked and self._process.name.startswith("node")
        outcome = self._outcome(refused)

        def place() -> None:
            if not (self._log.down or (self._log.locked and self._process.name.startswith("node"))):
                nonlocal stored_us
                stored_us = self._world.log_now_us()
                offsets.extend(self._log.place(topic, given))

        if outcome == "late":
            asyncio.get_running_loop().call_later(self._world.between(0.05, 3.0), place)
        if outcome in ("late", "lost"):
            await asyncio.sleep(self._world.delay() * 10)
        else:
            await self._process.land(self._world.delay(), place)
        await self._process.end(call)
        if outcome != "stored" or not offsets:
            raise Unavailable(f"the log does not say whether it stored that ({outcome})")
        if self._clock is not None:
            self._clock.appended(began, stored_us)
        return offsets[: len(entries)]

    def _outcome(self, refused: bool = False) -> str:
        if refused or self._log.down or self._process.log_cut:
            return "lost"
        if not self._world.chance(self._world.weather.log_unknown):
            return "stored"
        return self._world.random.choice(("stored unknown", "late", "lost"))

    async def consume(self, topic: str, starts: dict[int, int]) -> ModelConsumer:
        await self._ask("log.consume")
        consumer = ModelConsumer(self._log, self._process, topic, starts)
        self._log.consumers.append(consumer)
        return consumer

    async def read(self, topic: str, partition: int, start: int, count: int) -> Sequence[LoggedEntry]:
        await self._ask("log.read")
        return self._log.topics[topic][partition][start : start + count]

    async def end_offsets(self, topic: str) -> dict[int, int]:
        await self._ask("log.end_offsets")
        if self._process in self._log.claiming:
            self._log.looked.add(self._process)
            self._log.locked &= any(owner not in self._log.looked for owner in self._world.living_owners())
        return self._log.ends(topic)

    async def offsets_since(self, topic: str, time_us: int) -> dict[int, int]:
        await self._ask("log.offsets_since")
        since = {
            number: next((entry.offset for entry in entries if entry.appended_us >= time_us), -1)
            for number, entries in enumerate(self._log.topics[topic])
        }
        return {partition: offset for partition, offset in since.items() if offset >= 0}

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        await self._ask("log.committed")
        self._log.claiming.add(self._process)
        return {key[2]: offset for key, offset in self._log.commits.items() if key[:2] == (group, topic)}

    async def commit(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        await self._process.begin("log.commit", offsets)
        outcome = self._outcome()

        def store() -> None:
            if not self._log.down:
                for partition, offset in offsets.items():
                    self._log.commits[(group, topic, partition)] = offset
                    if era_of(group) in (0, self._world.agreement.shards.incident):
                        self._log.done[partition] = max(offset, self._log.done.get(partition, 0))
                self._world.checker.committed(group, offsets)

        if outcome == "late":
            asyncio.get_running_loop().call_later(self._world.between(0.05, 3.0), store)
        if outcome in ("late", "lost"):
            await asyncio.sleep(self._world.delay() * 10)
        else:
            await self._process.land(self._world.delay(), store)
        await self._process.end("log.commit")
        if outcome != "stored" or self._log.down:
            raise Unavailable("the log does not say whether it stored the commit")

    async def ensure(self, partitions: int) -> None:
        """As many as there are."""

    async def _ask(self, call: str) -> None:
        """A call that changes nothing, or that takes effect when it returns."""
        await self._process.begin(call)
        await asyncio.sleep(self._world.delay())
        await self._process.end(call)
        if self._log.down or self._process.log_cut or self._world.chance(self._world.weather.read_fails / 3):
            raise Unavailable("the log does not answer")
