"""Degradation switches: what may be left out so that messages go on, by hand or by pressure.

By hand: an operator switches a feature off, in all processes (`Board`). By pressure: a process that can hardly keep up leaves
features out by itself, in the order of FEATURES, one after the other, and takes them back in reverse. What is off by hand stays
off whatever the pressure. Nothing that is acknowledged may be a feature here.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Protocol

from svc.kernel import telemetry
from svc.kernel.clock import Clock
from svc.kernel.errors import Unavailable

log = logging.getLogger(__name__)

TYPING = "typing"
READ_MARKS = "read-marks"
FEATURES = {
    TYPING: "telling others who writes",
    READ_MARKS: "telling others at once how far somebody has read; marks are kept, and told with the next page",
}
"""Name → what is left out while it is off. The first is the first to go under pressure."""

HIGH, LOW = 1.0, 0.5
OFF_SECONDS, ON_SECONDS = 2.0, 10.0
LOOK_SECONDS = 0.25
BOARD_SECONDS = 1.0
LAG_SECONDS = 0.25
"""An event loop that turns so much too late is as loaded as it may be."""


class Board(Protocol):
    """What operators have switched off, for all processes of an installation. Methods raise Unavailable."""

    async def read(self) -> frozenset[str]:
        """The names of what is off."""
        ...

    async def set(self, name: str, on: bool) -> None:
        """Switch one off, or on."""
        ...


class Pressure:
    """How many features are left out, from a load of which 1.0 is as much as may be. Pure, with hysteresis: one more for each
    OFF_SECONDS that the load was HIGH all the time, one less for each ON_SECONDS that it was below LOW all the time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._high_since: float | None = None
        self._low_since: float | None = None
        self.left_out = 0

    def see(self, load: float, now: float) -> int:
        """The load at a time, in seconds. Returns how many are left out."""
        self._high_since = (now if self._high_since is None else self._high_since) if load >= HIGH else None
        self._low_since = (now if self._low_since is None else self._low_since) if load < LOW else None
        if self._high_since is not None and now - self._high_since >= OFF_SECONDS and self.left_out < self._most:
            self.left_out += 1
            self._high_since = now
        if self._low_since is not None and now - self._low_since >= ON_SECONDS and self.left_out > 0:
            self.left_out -= 1
            self._low_since = now
        return self.left_out


class Switches:
    """What this process goes by. Asked on the path of every signal: a look into a set."""

    def __init__(self) -> None:
        self._by_hand: frozenset[str] = frozenset()
        self._pressure = Pressure(len(FEATURES))
        self._signals: list[Callable[[], float]] = []
        self._off: frozenset[str] = frozenset()
        for name in FEATURES:
            telemetry.SWITCHED_OFF.labels(name).set(0)

    def is_on(self, name: str) -> bool:
        """Whether a feature is to be had."""
        return name not in self._off

    def measure(self, load: Callable[[], float]) -> None:
        """Heed one more measure of pressure: 1.0 is as much as may be. Called a few times a second."""
        self._signals.append(load)

    def by_hand(self, off: Iterable[str]) -> None:
        """What operators have switched off now. Names that this version does not know are left alone."""
        self._by_hand = frozenset(off) & FEATURES.keys()
        self._settle()

    def feel(self, lag: float, now: float) -> None:
        """The event loop turned so many seconds too late; look at the other measures, too."""
        self._pressure.see(max(lag / LAG_SECONDS, *(load() for load in self._signals), 0.0), now)
        self._settle()

    async def follow(self, board: Board, clock: Clock) -> None:
        """Keep up with the board and with the pressure, until cancelled. A board that cannot be read is as it was read last."""
        asked = asyncio.create_task(self._follow_board(board, clock), name="switch board")
        try:
            while not asked.done():
                began = clock.monotonic()
                await clock.sleep(LOOK_SECONDS)
                now = clock.monotonic()
                self.feel(now - began - LOOK_SECONDS, now)
            asked.result()
        finally:
            asked.cancel()
            await asyncio.wait([asked])

    async def _follow_board(self, board: Board, clock: Clock) -> None:
        unread = False
        while True:
            try:
                self.by_hand(await board.read())
                unread = False
            except Unavailable as error:
                if not unread:
                    log.warning("switches cannot be read: they stay as they are", extra={"error": error.message})
                unread = True
            # Spread, so that many processes do not ask at the same moment.
            await clock.sleep(BOARD_SECONDS * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, no secret

    def _settle(self) -> None:
        under_pressure = frozenset(list(FEATURES)[: self._pressure.left_out])
        off = self._by_hand | under_pressure
        for name in sorted(off ^ self._off):
            telemetry.SWITCHED_OFF.labels(name).set(name in off)
            why = "by hand" if name in self._by_hand else "by pressure"
            if name in off:
                log.warning("switched off", extra={"feature": name, "why": why})
            else:
                log.warning("switched on again", extra={"feature": name})
        self._off = off
