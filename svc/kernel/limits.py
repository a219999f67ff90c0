"""Token buckets, one for each (user or address, method), in memory and bounded."""

from collections import OrderedDict
from dataclasses import dataclass

from svc.kernel.clock import Clock
from svc.kernel.errors import RateLimited


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` calls on average, `burst` at once."""

    per_second: float
    burst: float


class RateLimiter:
    """Buckets fill with time; one that was full long ago is the first to be forgotten (it would be full again)."""

    def __init__(self, clock: Clock, max_buckets: int = 100_000) -> None:
        self._clock = clock
        self._max = max_buckets
        self._buckets: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, who: str, what: str, rate: Rate) -> None:
        """Take one token. Raises RateLimited with the time until there is one."""
        now = self._clock.monotonic()
        level, at = self._buckets.pop((who, what), (rate.burst, now))
        level = min(rate.burst, level + (now - at) * rate.per_second)
        allowed = level >= 1.0
        self._buckets[(who, what)] = (level - 1.0 if allowed else level, now)
        if len(self._buckets) > self._max:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = (1.0 - level) / rate.per_second
            raise RateLimited(f"too many calls of {what}: come back in {wait:.1f} s", retry_after=wait)
