"""How often to run what handles many things at a time: at once while little comes, in rounds when much does.

A record that travels alone through a step costs several times one of ten: most of it is waking up, not work.
"""

import math

from svc.kernel.clock import Clock

# The rate is that of about the last so many seconds: an exponentially weighted sum.
_WINDOW_SECONDS = 0.25


class Pace:
    """From `from_per_second` things a second on, runs begin at least `seconds` apart."""

    def __init__(self, clock: Clock, from_per_second: float, seconds: float) -> None:
        self._clock = clock
        self._from_per_second = from_per_second
        self._seconds = seconds
        self._rate = 0.0
        self._ran_at = 0.0

    async def wait(self) -> None:
        """Return when the next run should begin."""
        if self._rate > self._from_per_second:
            since = self._clock.monotonic() - self._ran_at
            if since < self._seconds:
                await self._clock.sleep(self._seconds - since)

    def ran(self, count: int) -> None:
        """A run begins now, with so many."""
        now = self._clock.monotonic()
        self._rate = self._rate * math.exp((self._ran_at - now) / _WINDOW_SECONDS) + count / _WINDOW_SECONDS
        self._ran_at = now
