"""A messaging node's process: the real Links, Subscriptions and Requests, without sessions of its own."""

import asyncio
from typing import TYPE_CHECKING

from svc.kernel.errors import OutcomeUnknown, Unavailable
from svc.kernel.eventlog import ACCEPTED, Entry
from svc.kernel.log_clock import LogClock
from svc.kernel.record import Record, encode
from svc.messaging.links import Links
from svc.messaging.requests import Answered, Request, Requests
from svc.messaging.subscriptions import Subscriptions
from tests.simulation.agreement import OneOwner
from tests.simulation.model_log import LogPort
from tests.simulation.network import RelayPort
from tests.simulation.process import Process, ProcessClock

if TYPE_CHECKING:
    from tests.simulation.world import World

SWEEP_SECONDS = 0.5


class NodeProcess(Process):
    """Clients join conversations on `subscriptions`, and send through `send`."""

    def __init__(self, world: "World", name: str) -> None:
        super().__init__(world, name)
        self.boot_id = f"{name}.{world.below(1 << 30)}"
        self.clock = LogClock(ProcessClock(self))
        self.log = LogPort(world.log, self, self.clock)
        self.subscriptions = Subscriptions()
        self.requests = Requests(lambda record: self.start(self._append(record, None)))
        seen = OneOwner(world.agreement)
        self.links = Links(
            self.boot_id,
            RelayPort(world, self),
            seen,  # type: ignore[arg-type]
            seen,  # type: ignore[arg-type]
            self.subscriptions,
            self.requests,
            self.clock,
        )
        self.when_killed.append(self._cut)
        self.ready = False
        self.start(self._keep_time())
        self.start(self.links.run())
        self.start(self._sweep())

    async def _keep_time(self) -> None:
        while True:
            try:
                async with self.clock.kept(self.log):
                    self.ready = True
                    await asyncio.get_running_loop().create_future()
            except Unavailable:
                await self.clock.sleep(SWEEP_SECONDS)

    async def _sweep(self) -> None:
        while True:
            await self.clock.sleep(SWEEP_SECONDS)
            now = self.clock.monotonic()
            self.requests.expire(now)
            self.subscriptions.expire(now)
            self.links.retry()

    def send(self, record: Record, seconds: float, answered: Answered, partition: int | None = None) -> None:
        """Append a record that carries this node's name, and tell its answer."""
        if not self.alive or self.paused:
            answered(Unavailable("the node does not answer"))
            return
        self.requests.add(Request(record, self.clock.monotonic() + seconds, answered))
        self.start(self._append(record, partition))

    async def _append(self, record: Record, partition: int | None) -> None:
        if partition is None:
            partition = self.world.shards.partition_of(record.conversation_id)
        try:
            await self.log.append(ACCEPTED, [Entry(partition, record.conversation_id, encode(record))])
        except Unavailable as error:
            self.requests.fail([record.request_id], OutcomeUnknown(error.message))

    def _cut(self) -> None:
        # Its clients see their streams break.
        for wire in list(self.world.wires):
            if wire.node is self:
                wire.break_()
        waiting = [it.request_id for it in self.requests.unanswered()]
        asyncio.get_running_loop().call_later(0.1, self.requests.fail, waiting, OutcomeUnknown("the node is gone"))
