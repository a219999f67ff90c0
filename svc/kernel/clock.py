"""Time as a dependency: tests and the simulation bring their own.

No node's clock ever decides anything about a message (protocol L4); it serves deadlines, pacing and backoff.
"""

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """Wall clock and monotonic clock, and the only way to wait for time to pass."""

    def now_us(self) -> int:
        """Microseconds since 1970, UTC. May jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards, from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait at least so long."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Backoff:
    """Exponential backoff with full jitter: a delay is uniform in [0, min(cap, base * 2^n)] seconds.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, base: float, cap: float, rng: random.Random | None = None) -> None:
        self._base = base
        self._cap = cap
        self._uniform = rng.uniform if rng is not None else random.uniform  # jitter, not a secret
        self.attempts = 0

    def next_delay(self) -> float:
        """The delay before the next attempt, in seconds."""
        ceiling = min(self._cap, self._base * float(2 ** min(self.attempts, 30)))
        self.attempts += 1
        return self._uniform(0.0, ceiling)

    def reset(self) -> None:
        """Call after a success."""
        self.attempts = 0
