"""Stand-ins for time and the event log. They hold state that tests assert; they count no calls."""

import asyncio
from collections.abc import Sequence

from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import Entry


class FakeClock:
    """Time that stands still until a test moves it. Sleeping moves it too, and lets others run."""

    def __init__(self) -> None:
        self.us = 1_750_000_000_000_000

    def advance(self, seconds: float) -> None:
        self.us += int(seconds * 1e6)

    def now_us(self) -> int:
        return self.us

    def monotonic(self) -> float:
        return self.us / 1e6

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)


class MemoryLog:
    """The part of the event log that producers use. While `down` is set it answers nobody; with `forgetful` set it stores
    what it is given once more and then says that it could not."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.down = False
        self.forgetful = False
        self.changed = asyncio.Event()

    async def append(self, topic: str, entries: Sequence[Entry]) -> Sequence[int]:
        if self.down:
            raise Unavailable("the log is down")
        start = len(self.entries)
        self.entries.extend(entries)
        self.changed.set()
        if self.forgetful:
            self.forgetful = False
            raise Unavailable("the log does not know whether it stored that")
        return range(start, len(self.entries))

    async def holds(self, count: int) -> list[Entry]:
        """Wait until there are so many entries, and return them."""
        async with asyncio.timeout(10):
            while len(self.entries) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.entries
