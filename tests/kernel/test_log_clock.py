"""Every process reckons by the log's time; how far its own clock is from that is told, once for each change."""

import logging
from collections.abc import Sequence

import pytest

from svc.kernel import telemetry
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import EVENTS, Entry, EventLog
from svc.kernel.log_clock import ASK_SECONDS, LogClock
from tests.fakes import FakeClock
from tests.faults.server import until

HOURS = 3600 * 1_000_000


class Machine(FakeClock):
    """Its wall clock is wrong by `wrong_us`."""

    wrong_us = 0

    def now_us(self) -> int:
        return self.us + self.wrong_us

    def monotonic(self) -> float:
        return self.us / 1e6 - 1_700_000_000


class Log:
    """The part of the event log that tells its time, which is the true one and `ahead_us`. An append takes `seconds`, and is
    stored after `stored` of them."""

    def __init__(self, machine: Machine, clock: LogClock) -> None:
        self.machine, self.clock = machine, clock
        self.ahead_us = 0
        self.seconds, self.stored = 0.2, 0.1
        self.down = False
        self.asked: list[Sequence[Entry]] = []

    async def append(self, topic: str, entries: Sequence[Entry]) -> Sequence[int]:
        assert topic == EVENTS
        if self.down:
            raise Unavailable("down")
        self.asked.append(entries)
        began = self.machine.monotonic()
        self.machine.advance(self.stored)
        appended_us = self.machine.us + self.ahead_us
        self.machine.advance(self.seconds - self.stored)
        self.clock.appended(began, appended_us)
        return [0]

    def late_us(self) -> int:
        """How far what is reckoned is behind."""
        return self.machine.us + self.ahead_us - self.clock.now_us()


@pytest.fixture
def log() -> Log:
    machine = Machine()
    return Log(machine, LogClock(machine))


def port(log: Log) -> EventLog:
    return log  # type: ignore[return-value]


@pytest.mark.parametrize("hours", [-25, 0, 25])
async def test_it_is_late_by_less_than_the_quickest_append_took(log: Log, hours: int):
    """However wrong the machine's own clock is; a slow append makes it no worse."""
    log.machine.wrong_us = hours * HOURS
    for seconds, stored, late in (
        (5.0, 1.0, 4.0),
        (5.0, 4.9, 0.1),
        (0.2, 0.1, 0.1),
        (9.0, 1.0, 0.1),
        (0.02, 0.0, 0.02),
    ):
        log.seconds, log.stored = seconds, stored
        await LogClock.ask(port(log))
        log.machine.advance(10.0)
        assert log.late_us() == pytest.approx(late * 1e6, abs=2)


async def test_the_log_s_clock_may_jump(log: Log):
    """Forward or back: the next append puts it right."""
    for ahead_us in (3 * HOURS, -2 * HOURS, 0):
        log.ahead_us = ahead_us
        await LogClock.ask(port(log))
        assert -0.1e6 - 2 <= log.late_us() <= 0.1e6 + 2


async def test_without_an_append_for_long_one_is_made(log: Log):
    """Also when the log did not answer at first; one that is made anyway spares it."""
    async with log.clock.kept(port(log)):
        assert log.asked == [[Entry(0, "", b"")]]
        log.down = True
        at = log.machine.monotonic()
        await until(lambda: log.machine.monotonic() > at + 3 * ASK_SECONDS, "time has passed")
        assert len(log.asked) == 1
        log.down = False
        await until(lambda: len(log.asked) > 1, "it is asked again")
        made = len(log.asked)
        at = log.machine.monotonic()
        while log.machine.monotonic() < at + 3 * ASK_SECONDS:
            log.clock.appended(log.machine.monotonic(), log.machine.us)
            await log.machine.sleep(1.0)
        assert len(log.asked) == made


async def test_a_log_that_does_not_tell_its_time_is_an_error_at_the_start(log: Log):
    """Nothing must be accepted by a clock that may be wrong."""
    log.down = True
    with pytest.raises(Unavailable):
        async with log.clock.kept(port(log)):
            pass


@pytest.mark.parametrize(("wrong", "seconds"), [(0.0, 0.0), (0.05, 0.0), (-0.05, 0.0), (0.6, -0.5), (-3.6, 3.5)])
async def test_only_a_time_outside_of_an_append_is_skew(log: Log, wrong: float, seconds: float):
    """Between its beginning and its end the log's time may be anything; beyond, the difference is the skew."""
    log.machine.wrong_us = int(wrong * 1e6)
    await LogClock.ask(port(log))
    assert telemetry.CLOCK_SKEW._value.get() == pytest.approx(seconds, abs=1e-5)


async def test_the_alarm_is_told_when_it_begins_and_when_it_ends(log: Log, caplog: pytest.LogCaptureFixture):
    """One line for each transition, however many appends show it."""
    with caplog.at_level(logging.WARNING):
        for log.machine.wrong_us in (9_000_000, 9_500_000, 0, 50_000):
            await LogClock.ask(port(log))
    assert [record.message for record in caplog.records] == [
        "this node's clock differs from the log's",
        "this node's clock is right again",
    ]
