"""An owner's process: the real Delivery over ports that can be cut, paused and killed."""

from typing import TYPE_CHECKING, cast

from svc.delivery.delivery import Delivery
from svc.delivery.owner import Owner
from svc.delivery.wire import ProtoEncoder
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.registry import Instance, ProcessRegistry
from svc.kernel.telemetry import Tracer
from tests.simulation.agreement import CoordinationPort
from tests.simulation.model_cache import HeadsPort
from tests.simulation.model_log import LogPort
from tests.simulation.model_store import StorePort
from tests.simulation.process import Process, ProcessClock

if TYPE_CHECKING:
    from tests.simulation.world import World

NO_TRACER = cast(Tracer, None)
"""No record of the simulation is sampled."""


class OwnerProcess(Process):
    """Claims all partitions as soon as it starts."""

    def __init__(self, world: "World", name: str, number: int) -> None:
        super().__init__(world, name)
        clock = ProcessClock(self)
        log, store = LogPort(world.log, self), StorePort(world.store, self)
        encoder = ProtoEncoder(clock, SnowflakeGenerator(clock, number))
        heads = HeadsPort(world.heads, self)
        self.coordination = CoordinationPort(world.agreement, self)

        def make_owner() -> Owner:
            return Owner(log, store, encoder, clock, NO_TRACER, self.coordination, heads)

        self.delivery = Delivery(make_owner, self.coordination, ProcessRegistry(), Instance(name, name), clock)
        self.when_killed.append(self._cut)
        self.start(self.delivery.run())

    @property
    def claim(self) -> int:
        """The claim that it serves, 0 for none."""
        owner = self.delivery.streams.owner
        owns = owner is not None and len(owner.claims) == self.coordination.shards.partitions
        return self.coordination.number if owns and self.alive else 0

    def resume(self) -> None:
        super().resume()
        for wire in list(self.world.wires):
            if wire.owner is self:
                wire.flush()

    def _cut(self) -> None:
        for wire in list(self.world.wires):
            if wire.owner is self:
                wire.break_()
