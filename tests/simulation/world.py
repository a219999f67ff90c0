"""One schedule: everything that lives in it, the dice, the trace, and how it heals."""

import asyncio
import random
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from stonechat.delivery.v1 import record_pb2
from svc.delivery.model import Event, Position
from svc.kernel.eventlog import ACCEPTED, Entry
from svc.kernel.record import Kind, Record
from svc.kernel.shards import ShardMap
from tests.delivery.model_heads import ModelHeads, Space
from tests.simulation.agreement import SharedAgreement
from tests.simulation.clients import Client
from tests.simulation.intents import People
from tests.simulation.invariants import Checker
from tests.simulation.model_log import SharedLog
from tests.simulation.model_store import SharedStore
from tests.simulation.network import Wire
from tests.simulation.nodes import NodeProcess
from tests.simulation.owners import OwnerProcess
from tests.simulation.process import EPOCH_US
from tests.simulation.reference import Reference
from tests.simulation.replicas import mutations_of
from tests.simulation.weather import Weather

if TYPE_CHECKING:
    from tests.simulation.scenarios import Settings

PARTITIONS = 2
USERS = ("u11", "u12", "u13", "u14")
DIRECT, OTHER_DIRECT, GROUP = "d.u11.u12", "d.u13.u14", "g21"
CONVERSATIONS = (DIRECT, OTHER_DIRECT, GROUP)
SETTLE_SECONDS = 120.0


class Violation(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant


class World:
    """Made inside the running loop."""

    def __init__(self, seed: object, tracing: bool, settings: "Settings") -> None:
        self.settings = settings
        self.random = random.Random(repr(seed))
        self.tracing = tracing
        self.lines: list[str] = []
        self.loop = asyncio.get_running_loop()
        self.failed: asyncio.Future[None] = self.loop.create_future()
        self.agreement = SharedAgreement(self, PARTITIONS)
        self.shards = ShardMap.initial(PARTITIONS)
        self.weather = Weather()
        self.wrong_map = 0.0  # how often a node appends by an old map of the shards
        self.incidents = False  # the log loses what it has stored
        self.repeats_grow_old = False  # the log's clock jumps by more than the time in which repeats are recognised
        self.wires: list[Wire] = []
        self.reference = Reference(self.shards)
        self.checker = Checker(self)
        self.log = SharedLog(self, PARTITIONS)
        self.log.told.append(self.checker.appended)
        self.store = SharedStore(self)
        self.heads = ModelHeads()
        self.saved_heads: dict[str, Space] = {}
        self.people = People(self)
        self.owners: list[OwnerProcess] = []
        self.nodes: list[NodeProcess] = []
        self.clients = [Client(self, user) for user in USERS]
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids = 1000

    # Dice

    def chance(self, probability: float) -> bool:
        return probability > 0.0 and self.random.random() < probability

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.random.random()

    def below(self, count: int) -> int:
        return int(self.random.random() * count)

    def delay(self) -> float:
        """A call's latency: mostly short, sometimes ten times that."""
        drawn = self.random.random()
        return self.weather.latency * (drawn if drawn < 0.95 else drawn * 10)

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    # Words

    def trace(self, who: str, what: str, text: object = "") -> None:
        if self.tracing:
            self.lines.append(f"{self.loop.time() - 1000:9.4f}  {who:8} {what} {text}")

    def fail(self, invariant: str, text: str) -> None:
        """An invariant does not hold: the schedule ends."""
        self.trace("!", f"VIOLATED {invariant}:", text)
        if not self.failed.done():
            self.failed.set_exception(Violation(invariant, text))

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """A task of the world outside: it is never killed."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail("the harness works", repr(error))

    @staticmethod
    def letter(value: bytes) -> record_pb2.DeadLetter:
        """A dead letter."""
        return record_pb2.DeadLetter.FromString(value)

    # Who lives

    def start_owner(self) -> OwnerProcess:
        owner = OwnerProcess(self, f"owner{len(self.owners) + 1}", len(self.owners) + 1)
        self.trace(owner.name, "starts")
        self.owners.append(owner)
        return owner

    def start_node(self) -> NodeProcess:
        node = NodeProcess(self, f"node{len(self.nodes) + 1}")
        self.trace(node.name, "starts")
        self.nodes.append(node)
        return node

    def living_owners(self) -> list[OwnerProcess]:
        return [owner for owner in self.owners if owner.alive]

    def living_nodes(self) -> list[NodeProcess]:
        return [node for node in self.nodes if node.alive]

    def some_node(self) -> NodeProcess | None:
        nodes = [node for node in self.nodes if node.alive and not node.paused and node.ready]
        return self.random.choice(nodes) if nodes else None

    def find_owner(self) -> OwnerProcess | None:
        """Whom a node finds in the registry: the newest claim, or what it still believes."""
        claiming = [owner for owner in self.owners if owner.claim]
        if not claiming:
            return None
        if self.chance(self.weather.stale_owner):
            return self.random.choice(claiming)
        return max(claiming, key=lambda owner: owner.claim)

    def garbage(self, name: str) -> None:
        """Something that is no record lands in the log."""
        if self.log.locked:
            return
        self._ids += 1
        self.log.place(ACCEPTED, [Entry(self.shards.partition_of(name), name, b"\xff%d" % self._ids)])

    def wrong_partition(self) -> int:
        return self.below(PARTITIONS)

    def log_now_us(self) -> int:
        """The log's clock."""
        return EPOCH_US + int(self.loop.time() * 1e6) + self.log.clock_us

    def restart_reference(self, partition: int, era: int) -> None:
        """A new era: what is stored now stands."""
        stored: dict[str, list[Event]] = {}
        for name, known in self.reference.conversations.items():
            if self.shards.partition_of(name) == partition:
                stored[name] = [event for event in known.events if self.checker.visible(name, event.seq)]
        self.reference.restart(partition, era, self.log.topics[ACCEPTED][partition], stored)
        self.checker.restarted(partition, stored)

    def forget_cut(self, ends: dict[int, int]) -> None:
        """The log lost what stood at these offsets and above."""
        self.checker.unnoticed.update(ends)
        for partition in ends:
            self.log.done.pop(partition, None)
            self.restart_reference(partition, self.reference.eras[partition])

    def preload(self, name: str, count: int) -> None:
        """A conversation that has so many events already, from before this log."""
        partition = self.shards.partition_of(name)
        made = [
            Event(
                Record(Kind.MESSAGE, name, "u11", f"old{seq}", seq, b"\x12\x03old"),
                Kind.MESSAGE,
                Position(0, seq),
                seq,
                EPOCH_US + seq,
                seq,
                0,
            )
            for seq in range(1, count + 1)
        ]
        for replica in self.store.replicas:
            for mutation in mutations_of(made, 0):
                replica.apply(mutation)
        self.reference.restart(partition, 1, [], {name: made})
        self.checker.restarted(partition, {name: made})

    # The end

    async def heal(self) -> None:
        """All faults stop; then everything must come to rest."""
        self.trace("", "HEAL")
        self.weather.calm()
        self.wrong_map = 0.0
        self.log.down = self.log.locked = False
        self.store.only = self.store.failing_bucket = None
        self.store.repair()
        for process in [*self.owners, *self.nodes]:
            process.stops_at = None
            process.store_cut = process.log_cut = False
            process.resume()
        if not self.living_owners():
            self.start_owner()
        if not self.living_nodes():
            self.start_node()
        for wire in list(self.wires):
            if wire.silent:
                wire.break_()
        for client in self.clients:
            if client.session is None or not client.session.node.alive:
                client.connect(self.random.choice(self.living_nodes()))
            for name in list(client.ledgers):
                client.follow(name)
        await self._settle()

    async def all_judged(self) -> None:
        """Wait until every owner has taken everything through all steps."""
        until = self.loop.time() + SETTLE_SECONDS
        while self.people.waiting or any(consumer.lag() for consumer in self.log.consumers) or self._lags():
            await asyncio.sleep(0.1)
            if self.loop.time() > until:
                self.fail("everything comes to rest", "before the clock jumps")
        await asyncio.sleep(0.3)

    def _lags(self) -> bool:
        return any(self.log.done.get(partition, 0) < end for partition, end in self.log.ends(ACCEPTED).items())

    async def _settle(self) -> None:
        deadline = self.loop.time() + SETTLE_SECONDS
        quiet = 0
        while quiet < 2:
            await asyncio.sleep(0.4)
            self._leave_former_owners()
            waits = self._waits_for()
            quiet = 0 if waits else quiet + 1
            if waits and self.loop.time() > deadline:
                self.fail("everything comes to rest", waits)
                return
        self.store.repair()
        self.checker.finish()

    def _leave_former_owners(self) -> None:
        # The registry names one owner: nodes learn of it, and leave the others. When it has died somebody else claims.
        claims = [owner.claim for owner in self.living_owners()]
        newest = max(claims, default=0)
        if newest < self.agreement.claim and 0 not in claims:
            self.start_owner()
        for wire in list(self.wires):
            if wire.claim < newest:
                wire.break_()

    def _waits_for(self) -> str:
        for intent in self.people.waiting.values():
            return f"{intent.key} is not answered"
        ends = self.log.ends(ACCEPTED)
        for partition, end in ends.items():
            if (done := self.log.done.get(partition, 0)) < end:
                return f"partition {partition} is committed up to {done} of {end}"
        for client in self.clients:
            for name, ledger in client.ledgers.items():
                head = len(self.reference.events(name))
                if ledger.have != head or ledger.above:
                    return f"{client.user} has {name} up to {ledger.have} of {head}"
                if client.session is None or client.session.cursor.get(name) != head:
                    return f"{client.user} listens to {name} up to {client.session and client.session.cursor.get(name)}"
        return ""
