"""The cache of heads, as one owner reaches it: slow, silent, gone, and what it is told may be done long after."""

import asyncio
from collections.abc import Mapping, Sequence

from svc.kernel.errors import Unavailable
from tests.delivery.model_heads import ModelHeads
from tests.simulation.process import Process


class HeadsPort:
    """`svc.delivery.ports.Heads`."""

    def __init__(self, shared: ModelHeads, process: Process) -> None:
        self._shared = shared
        self._process = process
        self._world = process.world

    async def read(self, space: str, names: Sequence[str]) -> tuple[int, dict[str, int]]:
        await self._process.begin("cache.read", space)
        await asyncio.sleep(self._world.delay())
        answer = await self._shared.read(space, names)
        await asyncio.sleep(self._world.delay())
        await self._process.end("cache.read")
        if self._world.chance(self._world.weather.cache_fails):
            raise Unavailable("the cache does not answer")
        return answer

    async def write(self, space: str, start: int, end: int, log_end: int, heads: Mapping[str, int]) -> None:
        await self._process.begin("cache.write", f"{space} {start}-{end}")
        outcome = "done"
        if self._world.chance(self._world.weather.cache_fails):
            outcome = self._world.random.choice(("done unknown", "late", "lost"))

        def done() -> None:
            self._shared.now(space, start, end, log_end, heads)

        if outcome == "late":
            asyncio.get_running_loop().call_later(self._world.between(0.05, 3.0), done)
        if outcome in ("late", "lost"):
            await asyncio.sleep(self._world.delay() * 10)
        else:
            await self._process.land(self._world.delay(), done)
        await self._process.end("cache.write")
        if outcome != "done":
            raise Unavailable(f"the cache does not say whether it did that ({outcome})")
