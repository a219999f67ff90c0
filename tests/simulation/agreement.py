"""What processes of the simulation agree on: one truth, and each owner's port to it.

Claims do not exclude each other here: whoever starts claims everything under a higher number, and a former owner goes on until
it dies. That is worse than any coordinator allows, and must do no harm.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from svc.kernel.coordination import Claim
from svc.kernel.errors import Unavailable
from svc.kernel.registry import Instance, Snapshot
from svc.kernel.shards import ShardMap
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.world import World

OWNERS = Instance("owners", "whoever owns")
"""What nodes take for the one delivery instance: `World.find_owner` says who that is."""


class SharedAgreement:
    """The map, and the newest claim."""

    def __init__(self, world: "World", partitions: int) -> None:
        self.world = world
        self.shards = ShardMap.initial(partitions)
        self.claim = 0
        self.watchers: list[Callable[[], None]] = []

    def publish(self, shards: ShardMap) -> bool:
        if shards.version != self.shards.version + 1:
            return False
        began = shards.incident > self.shards.incident
        self.shards = shards
        if began:
            for partition in range(shards.partitions):
                self.world.log.done.pop(partition, None)
                self.world.checker.era_started(partition, shards.incident)
        for watcher in list(self.watchers):
            asyncio.get_running_loop().call_later(self.world.delay(), watcher)
        return True


class CoordinationPort:
    """`svc.kernel.coordination.Coordination`, as one owner has it. What it claims in one go has one number."""

    def __init__(self, shared: SharedAgreement, process: Process) -> None:
        self._shared = shared
        self._process = process
        self._seen = shared.shards
        self._claims: dict[int, Claim] = {}
        self.number = 0
        shared.watchers.append(self._changed)
        self._watchers: list[Callable[[], None]] = []

    @property
    def shards(self) -> ShardMap:
        return self._seen

    async def read_shards(self) -> ShardMap:
        await self._ask("map.read")
        self._seen = self._shared.shards
        return self._seen

    async def publish(self, shards: ShardMap) -> bool:
        await self._process.begin("map.publish", shards.version)
        done: list[bool] = []
        await self._process.land(self._shared.world.delay(), lambda: done.append(self._shared.publish(shards)))
        await self._process.end("map.publish")
        if not done:
            raise Unavailable("nobody knows whether the map is published")
        self._changed()
        return done[0]

    def claims(self) -> Mapping[int, Claim]:
        return dict(self._claims)

    async def read_claims(self) -> Mapping[int, Claim]:
        return self.claims()

    async def claim(self, partition: int, instance: Instance) -> Claim | None:
        await self._ask("claim")
        if not self._claims:
            self._shared.claim += 1
            self.number = self._shared.claim
        self._claims[partition] = Claim(partition, self.number, instance)
        return self._claims[partition]

    async def release(self, claim: Claim) -> None:
        self._claims.pop(claim.partition, None)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def _changed(self) -> None:
        if not self._process.alive or self._process.paused:
            return  # it looks by itself, too
        self._seen = self._shared.shards
        for watcher in list(self._watchers):
            watcher()

    async def _ask(self, call: str) -> None:
        await self._process.begin(call)
        await asyncio.sleep(self._shared.world.delay())
        await self._process.end(call)
        if self._shared.world.chance(self._shared.world.weather.read_fails / 3):
            raise Unavailable("the coordinator does not answer")


class OneOwner:
    """What nodes see: one instance that owns everything. Registry and coordination, as far as they need."""

    def __init__(self, shared: SharedAgreement) -> None:
        self._shared = shared

    @property
    def shards(self) -> ShardMap:
        return self._shared.shards

    async def read_shards(self) -> ShardMap:
        return self._shared.shards

    def claims(self) -> Mapping[int, Claim]:
        return {partition: Claim(partition, 0, OWNERS) for partition in range(self._shared.shards.partitions)}

    def instances(self, service: str) -> tuple[Instance, ...]:
        return (OWNERS,)

    def snapshot(self) -> Snapshot:
        return {"delivery": (OWNERS,)}

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._shared.watchers.append(changed)
        return lambda: self._shared.watchers.remove(changed)
