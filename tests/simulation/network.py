"""Relay streams between a node's process and an owner's: first in, first out, delayed, broken, or silent without a word."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from svc.delivery.streams import OwnerStream
from svc.kernel.errors import Unavailable
from svc.kernel.registry import Instance
from svc.kernel.relay import Item, Signal, Unanswered
from tests.simulation.process import Process

if TYPE_CHECKING:
    from tests.simulation.owners import OwnerProcess
    from tests.simulation.world import World


class Wire:
    """One stream: `svc.kernel.relay.RelayStream` at the node's end, the real OwnerStream at the other."""

    def __init__(self, world: "World", node: Process, owner: "OwnerProcess", real: OwnerStream) -> None:
        self.world = world
        self.node = node
        self.owner = owner
        self.claim = owner.claim
        self.cut = False
        self.silent = False  # nothing passes, and nobody is told
        self._real = real
        real._queue._max_bytes = world.weather.queue_bytes
        self._loop = asyncio.get_running_loop()
        self._up: list[Callable[[], None]] = []
        self._inbox: list[Item] = []
        self._arrived = asyncio.Event()
        self._last = [0.0, 0.0]
        self._pump = self._loop.create_task(self._down())
        world.wires.append(self)

    # The node's end

    def subscribe(self, conversation_ids: Sequence[str]) -> None:
        names = list(conversation_ids)
        self.world.trace(self.node.name, "subscribe", names)
        self._send(lambda: self._real.subscribe(names))

    def unsubscribe(self, conversation_ids: Sequence[str]) -> None:
        names = list(conversation_ids)
        self.world.trace(self.node.name, "unsubscribe", names)

        def gone() -> None:
            self.world.checker.unsubscribed(self, names)
            self._real.unsubscribe(names)

        self._send(gone)

    def unanswered(self, requests: Sequence[Unanswered]) -> None:
        listed = list(requests)
        self._send(lambda: self._real.unanswered(listed))

    def signal(self, signal: Signal) -> None:
        self._send(lambda: self._real.signal(signal))

    async def receive(self) -> Sequence[Item]:
        while True:
            await self._arrived.wait()
            await self.node.turn()
            if self.cut:
                raise Unavailable("the stream broke")
            self._arrived.clear()
            items, self._inbox = self._inbox, []
            if items:
                return items

    async def close(self) -> None:
        self.break_()

    # Under way

    def _at(self, direction: int) -> float:
        self._last[direction] = max(self._loop.time() + self.world.delay(), self._last[direction] + 1e-7)
        return self._last[direction]

    def _send(self, effect: Callable[[], None]) -> None:
        if self.cut or self.silent or not self.node.alive:
            return

        def arrive() -> None:
            self._up.append(effect)
            self.flush()

        self._loop.call_at(self._at(0), arrive)

    def flush(self) -> None:
        """Hand the owner what has arrived, unless it is paused."""
        if self.owner.paused:
            return
        waiting, self._up = self._up, []
        for effect in waiting:
            if self.owner.alive and not self.cut:
                effect()

    async def _down(self) -> None:
        weather = self.world.weather
        try:
            while True:
                items = await self._real.receive()
                await self.owner.turn()
                if self.silent:
                    continue
                for item in items:
                    self.world.checker.left_owner(self, item)
                self._loop.call_at(self._at(1), self._arrive, items)
                if weather.cut_stream and self.world.chance(weather.cut_stream):
                    self.break_()
                if weather.stream_slow and self.world.chance(weather.stream_slow):
                    await asyncio.sleep(self.world.between(0.05, 1.5))
        except Unavailable:
            self.break_()

    def _arrive(self, items: Sequence[Item]) -> None:
        if not self.cut:
            self._inbox.extend(items)
            self._arrived.set()

    def break_(self) -> None:
        """Both ends are told, the owner a little later."""
        if self.cut:
            return
        self.world.trace(self.node.name, "stream broke", f"from {self.owner.name}")
        self.cut = True
        self._arrived.set()
        self.world.wires.remove(self)
        if self.owner.alive:
            self._loop.call_later(self.world.delay() * 5, self._owner_told)

    def _owner_told(self) -> None:
        self._pump.cancel()
        if self.owner.paused:
            self._loop.call_later(1.0, self._owner_told)
        elif self.owner.alive:
            self._real._owner.hub.close(self._real._queue)


class RelayPort:
    """`svc.kernel.relay.Relay`, as one node reaches the owners."""

    def __init__(self, world: "World", process: Process) -> None:
        self._world = world
        self._process = process

    async def open(self, node: str, instance: Instance) -> Wire:
        await self._process.begin("relay.open")
        await asyncio.sleep(self._world.delay())
        owner = self._world.find_owner()
        if owner is None or owner.paused:
            await asyncio.sleep(self._world.between(0.1, 1.0))
            await self._process.end("relay.open")
            raise Unavailable("no owner answers")
        real = await owner.delivery.streams.open(node, instance)
        wire = Wire(self._world, self._process, owner, real)
        self._world.trace(self._process.name, "stream opened", f"to {owner.name} claim {wire.claim}")
        self._world.checker.opened(wire)
        await self._process.end("relay.open")
        return wire
