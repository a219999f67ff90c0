"""The log's time, which every process reckons by (protocol L4: no node's own clock decides anything).

Each append says when the log stored it, and that was after the append began and before it returned. So an append shows between
which bounds the log's clock is ahead of this machine's monotonic clock, and between appends that one goes on.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from svc.kernel import telemetry
from svc.kernel.clock import Clock
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import EVENTS, Entry, EventLog
from svc.kernel.lifecycle import Failed, owned

log = logging.getLogger(__name__)

ALARM_SECONDS = 1.0
ASK_SECONDS = 60.0
"""After so long without an append one is made: monotonic clocks drift apart, and stand still while their machine sleeps."""
_LOOK_SECONDS = 1.0


class LogClock:
    """`svc.kernel.clock.Clock` whose wall clock is the log's. It is never ahead of that, and late by less than the quickest
    append took, as long as the log's clock does not jump; after a jump the next append puts it right, to what that takes.
    Before the first append it is the machine's own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_us: int | None = None  # of the monotonic clock
        self._alarmed = False
        self.learned_at = float("-inf")
        """When the newest append began that showed the log's time; monotonic seconds."""

    def now_us(self) -> int:
        return self._clock.now_us() if self._ahead_us is None else self._monotonic_us() + self._ahead_us

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)

    def appended(self, began: float, appended_us: int) -> None:
        """An append that began then (monotonic seconds) has just returned: the log stored it at `appended_us`."""
        least, most = appended_us - self._monotonic_us(), appended_us - int(began * 1e6)
        known = least if self._ahead_us is None else self._ahead_us
        self._ahead_us = _within(known, least, most)
        self.learned_at = max(began, self.learned_at)
        own = self._clock.now_us() - self._monotonic_us()
        self._tell((_within(own, least, most) - own) / 1e6)

    @asynccontextmanager
    async def kept(self, event_log: EventLog, failed: Failed | None = None) -> AsyncIterator[None]:
        """The log's time is known when the block begins, and for as long as it lasts. Raises Unavailable: the log does not
        tell it."""
        await self.ask(event_log)
        async with owned(self._follow(event_log), "the log's time", failed):
            yield

    @staticmethod
    async def ask(event_log: EventLog) -> None:
        """Have it told by an append that says nothing. Raises Unavailable."""
        await event_log.append(EVENTS, [Entry(0, "", b"")])

    async def _follow(self, event_log: EventLog) -> None:
        while True:
            await self.sleep(_LOOK_SECONDS)
            if self.monotonic() - self.learned_at > ASK_SECONDS:
                try:
                    await self.ask(event_log)
                except Unavailable as error:
                    log.debug("the log does not tell its time", extra={"error": error.message})

    def _monotonic_us(self) -> int:
        return int(self._clock.monotonic() * 1e6)

    def _tell(self, seconds: float) -> None:
        telemetry.CLOCK_SKEW.set(seconds)
        if (abs(seconds) > ALARM_SECONDS) != self._alarmed:
            self._alarmed = not self._alarmed
            told = "this node's clock differs from the log's" if self._alarmed else "this node's clock is right again"
            log.warning(told, extra={"seconds": round(seconds, 3)})


def _within(value: int, least: int, most: int) -> int:
    return min(max(value, least), most)
