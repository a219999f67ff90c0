"""Token buckets, one for each (user or address, method): bounded, in memory, and shared among instances where there is a pool.

Taking is local and at once. What an instance has taken it tells the pool in portions, and it goes on with what the pool says is
left, so that any number of instances together keep nearly to one limit: above it by at most two portions each, and by what they
take while an answer is on its way. While the pool does not answer, and without one, each instance keeps the limit alone.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from svc.kernel.clock import Clock
from svc.kernel.errors import RateLimited, Unavailable

PORTIONS = 10
"""So many portions make a full bucket."""
_TOGETHER = 500


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` calls on average, `burst` at once."""

    per_second: float
    burst: float


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens that an instance has taken of a bucket since it told of it last."""

    who: str
    what: str
    rate: Rate
    tokens: float


class Pool(Protocol):
    """The buckets of all instances."""

    async def spend(self, spent: Sequence[Spent]) -> Sequence[float]:
        """Take tokens that were given out already; returns what is left in each bucket, less than nothing when too many were.
        A bucket that is not known is full. Raises Unavailable: the outcome is unknown."""
        ...


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float
    untold: float = 0.0


class RateLimiter:
    """Buckets fill with time; one that was full long ago is the first to be forgotten (it would be full again)."""

    def __init__(self, clock: Clock, max_buckets: int = 100_000) -> None:
        self._clock = clock
        self._max = max_buckets
        self._buckets: OrderedDict[tuple[str, str], _Bucket] = OrderedDict()
        self._shared = False
        self._due: dict[tuple[str, str], Rate] = {}
        self._is_due = asyncio.Event()

    def take(self, who: str, what: str, rate: Rate) -> None:
        """Take one token. Raises RateLimited with the time until there is one."""
        now = self._clock.monotonic()
        bucket = self._buckets.pop((who, what), None) or _Bucket(rate.burst, now)
        self._buckets[who, what] = bucket
        bucket.level = min(rate.burst, bucket.level + (now - bucket.at) * rate.per_second)
        bucket.at = now
        if len(self._buckets) > self._max:
            self._buckets.popitem(last=False)
        if bucket.level < 1.0:
            wait = (1.0 - bucket.level) / rate.per_second
            raise RateLimited(f"too many calls of {what}: come back in {wait:.1f} s", retry_after=wait)
        bucket.level -= 1.0
        if self._shared:
            bucket.untold += 1.0
            if bucket.untold >= rate.burst / PORTIONS:
                self._due[who, what] = rate
                self._is_due.set()

    async def share(self, pool: Pool) -> None:
        """Share the buckets by a pool, until cancelled."""
        self._shared = True
        try:
            while True:
                await self._is_due.wait()
                await self.tell(pool)
        finally:
            self._shared = False

    async def tell(self, pool: Pool) -> None:
        """Tell the pool of each bucket of which a portion was taken, and go on with what is left there."""
        due = [(key, self._due.pop(key)) for key in list(self._due)[:_TOGETHER]]
        if not self._due:
            self._is_due.clear()
        spent = []
        for key, rate in due:
            if (bucket := self._buckets.get(key)) is not None:
                spent.append(Spent(*key, rate, bucket.untold))
                bucket.untold = 0.0
        try:
            levels = await pool.spend(spent)
        except Unavailable:
            return  # what was told is not told again: it may have been heard
        for told, level in zip(spent, levels, strict=True):
            if (bucket := self._buckets.get((told.who, told.what))) is not None:
                bucket.level = min(bucket.level, level - bucket.untold)
