"""Buckets that instances share, in a few lines."""

from collections.abc import Sequence

from svc.kernel.clock import Clock
from svc.kernel.errors import Unavailable
from svc.kernel.limits import Spent


class ModelPool:
    """Answers nobody while it is `down`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}
        self.down = False

    async def spend(self, spent: Sequence[Spent]) -> Sequence[float]:
        if self.down:
            raise Unavailable("the pool is down")
        return [self._spend(told) for told in spent]

    def wipe(self) -> None:
        self._buckets.clear()

    def _spend(self, told: Spent) -> float:
        now, rate = self._clock.monotonic(), told.rate
        level, at = self._buckets.get((told.who, told.what), (rate.burst, now))
        level = min(rate.burst, level + (now - at) * rate.per_second) - told.tokens
        level = max(level, -60 * rate.per_second)
        self._buckets[told.who, told.what] = level, now
        return level
