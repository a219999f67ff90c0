"""A process of the simulation: everything that it does with the world passes through here, so it can be stopped anywhere."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.world import World

EPOCH_US = 1_750_000_000_000_000


class Process:
    """Runs, is paused (SIGSTOP) or is dead (SIGKILL). `stops_at`: the call and phase at which that happens by itself."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.paused = False
        self.store_cut = False
        self.log_cut = False
        self.stops_at: tuple[str, str] | None = None
        self._countdown = 0
        self._stop: Callable[[], None] = self.kill
        self.skew_us = 0
        self.when_killed: list[Callable[[], None]] = []
        self._resumed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # What happens to it

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a task until it is killed."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.world.fail("no task dies", f"{self.name}: {error!r}")

    def kill(self) -> None:
        """Nothing more takes effect, except what is already under way: that may."""
        if not self.alive:
            return
        self.world.trace(self.name, "KILLED")
        self.alive = False
        self.paused = False
        self._resumed.set()
        for task in self._tasks:
            task.cancel()
        for told in self.when_killed:
            told()

    def pause(self) -> None:
        """Calls to the world neither start nor return."""
        if self.alive and not self.paused:
            self.world.trace(self.name, "paused")
            self.paused = True
            self._resumed.clear()

    def resume(self) -> None:
        """Go on, as if no time had passed."""
        if self.paused:
            self.world.trace(self.name, "resumed")
            self.paused = False
            self._resumed.set()

    # What it does

    async def turn(self) -> None:
        """Return when the process may go on. A dead one never does."""
        while self.paused:
            await self._resumed.wait()
        if not self.alive:
            await asyncio.get_running_loop().create_future()

    async def begin(self, call: str, text: object = "") -> None:
        """A call to the world begins."""
        if self.paused or not self.alive:
            await self.turn()
        self.world.trace(self.name, call, text)
        if self.stops_at is not None:
            self.reach(call, "begin")
            await self.turn()

    async def end(self, call: str) -> None:
        """A call to the world returns."""
        if self.stops_at is not None:
            self.reach(call, "end")
        if self.paused or not self.alive:
            await self.turn()

    def stop_at(self, call: str, phase: str, count: int, stop: Callable[[], None] | None = None) -> None:
        """Die, or do something else, when a call reaches a phase for the count-th time."""
        self.stops_at, self._countdown, self._stop = (call, phase), count, stop or self.kill

    def reach(self, call: str, phase: str) -> bool:
        """Stop here, if that is the plan."""
        if self.stops_at != (call, phase):
            return False
        self._countdown -= 1
        if self._countdown > 0:
            return False
        self.stops_at = None
        self.world.trace(self.name, f"reached {call} {phase}")
        self._stop()
        return True

    async def land(self, delay: float, effect: Callable[[], None]) -> None:
        """Something is under way: it takes effect after a delay, and this returns then. When the process dies first, it may
        or may not take effect."""
        loop = asyncio.get_running_loop()
        landed: asyncio.Future[None] = loop.create_future()

        def arrive() -> None:
            if self.alive or self.world.chance(0.5):
                effect()
            if not landed.done():
                landed.set_result(None)

        loop.call_later(delay, arrive)
        await landed


class ProcessClock:
    """`svc.kernel.clock.Clock` of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._loop = asyncio.get_running_loop()

    def now_us(self) -> int:
        return EPOCH_US + int(self._loop.time() * 1e6) + self._process.skew_us

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._process.paused or not self._process.alive:
            await self._process.turn()
