"""What is left out: by hand in all processes, by pressure with hysteresis."""

import asyncio
import logging
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from svc.kernel.errors import Unavailable
from svc.kernel.lifecycle import owned
from svc.kernel.switches import (
    FEATURES,
    HIGH,
    LAG_SECONDS,
    LOW,
    OFF_SECONDS,
    ON_SECONDS,
    READ_MARKS,
    TYPING,
    Pressure,
    Switches,
)
from tests.messaging.world import StepClock

MOST = 3
LOADS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.2, 0.49, 0.5, 0.8, 0.99, 1.0, 5.0]), st.integers(1, 60), st.integers(50, 3000)),
    max_size=20,
)


class MemoryBoard:
    """`Board`, which answers nobody while it is `down`."""

    def __init__(self) -> None:
        self.off: set[str] = set()
        self.down = False

    async def read(self) -> frozenset[str]:
        if self.down:
            raise Unavailable("the board is down")
        return frozenset(self.off)

    async def set(self, name: str, on: bool) -> None:
        (self.off.discard if on else self.off.add)(name)


def played(loads: Sequence[tuple[float, int, int]]) -> list[tuple[float, float, int]]:
    """Each load, so many times, so many ms apart: (time, load, how many were left out then)."""
    pressure, now, seen = Pressure(MOST), 0.0, []
    for load, times, apart in loads:
        for _ in range(times):
            now += apart / 1000
            seen.append((now, load, pressure.see(load, now)))
    return seen


@given(LOADS)
def test_nothing_is_left_out_or_taken_back_before_its_time(loads: Sequence[tuple[float, int, int]]):
    """One more only after a stretch of high load, one less only after a stretch of low load, each stretch with its own time."""
    seen, before, changed_at = played(loads), 0, 0.0
    for now, _, left_out in seen:
        assert 0 <= left_out <= MOST
        assert abs(left_out - before) <= 1
        if left_out != before:
            seconds = OFF_SECONDS if left_out > before else ON_SECONDS
            stretch = [load for at, load, _ in seen if now - seconds <= at <= now]
            assert all(load >= HIGH if left_out > before else load < LOW for load in stretch)
            assert now - changed_at >= seconds
            before, changed_at = left_out, now


@given(LOADS, st.floats(HIGH, 100), st.floats(0, 0.49))
def test_lasting_pressure_leaves_all_out_and_lasting_ease_takes_all_back(
    loads: Sequence[tuple[float, int, int]], high: float, low: float
):
    """Whatever was before."""
    pressured = [*loads, (high, 100, 250)]
    assert played(pressured)[-1][2] == MOST
    assert played([*pressured, (low, 200, 250)])[-1][2] == 0


@given(LOADS, st.floats(LOW, 0.99))
def test_between_low_and_high_nothing_changes(loads: Sequence[tuple[float, int, int]], load: float):
    """That is what keeps it from flickering."""
    seen = played([(5.0, 12, 250), *loads, (load, 200, 250)])
    assert len({left_out for _, _, left_out in seen[-200:]}) == 1


def press(switches: Switches, seconds: float, lag: float, start: float) -> float:
    for step in range(int(seconds * 4) + 1):
        switches.feel(lag, start + step / 4)
    return start + seconds


def test_typing_is_the_first_to_go_and_the_last_to_come_back(caplog: pytest.LogCaptureFixture):
    """With one line for each step."""
    caplog.set_level(logging.INFO)
    switches = Switches()
    now = press(switches, OFF_SECONDS, LAG_SECONDS, 0.0)
    assert [name for name in FEATURES if not switches.is_on(name)] == [TYPING]
    assert REGISTRY.get_sample_value("stonechat_switched_off", {"feature": TYPING}) == 1
    now = press(switches, OFF_SECONDS, LAG_SECONDS, now)
    assert [name for name in FEATURES if not switches.is_on(name)] == [TYPING, READ_MARKS]
    now = press(switches, ON_SECONDS + 0.25, 0.0, now)
    assert [name for name in FEATURES if not switches.is_on(name)] == [TYPING]
    press(switches, ON_SECONDS, 0.0, now)
    assert all(map(switches.is_on, FEATURES))
    assert [(record.message, record.feature) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("switched off", TYPING),
        ("switched off", READ_MARKS),
        ("switched on again", READ_MARKS),
        ("switched on again", TYPING),
    ]


def test_one_long_pause_is_no_pressure():
    """A process that was stopped for a minute did not fall behind in that minute."""
    switches = Switches()
    switches.feel(0.0, 0.0)
    switches.feel(60.0, 60.0)
    switches.feel(0.0, 60.3)
    assert switches.is_on(TYPING)


def test_each_measure_counts():
    """The greatest of them."""
    switches, load = Switches(), 0.0
    switches.measure(lambda: load)
    switches.measure(lambda: 0.0)
    now = press(switches, OFF_SECONDS, 0.0, 0.0)
    assert switches.is_on(TYPING)
    load = 1.0
    press(switches, OFF_SECONDS, 0.0, now)
    assert not switches.is_on(TYPING)


def test_what_is_off_by_hand_stays_off_when_pressure_goes():
    """And a name from a newer version disturbs nobody."""
    switches = Switches()
    switches.by_hand(["typing", "teleport"])
    now = press(switches, OFF_SECONDS, 1.0, 0.0)
    press(switches, 2 * ON_SECONDS, 0.0, now)
    assert not switches.is_on(TYPING)
    switches.by_hand([])
    assert switches.is_on(TYPING)
    assert switches.is_on("teleport")


async def test_the_board_is_followed_and_a_board_that_is_away_changes_nothing(caplog: pytest.LogCaptureFixture):
    """It says so once, until it is back."""
    clock, board, switches = StepClock(), MemoryBoard(), Switches()

    async def pass_seconds(seconds: float) -> None:
        for _ in range(int(seconds * 20)):
            clock.advance(0.05)
            await asyncio.sleep(0)

    async with owned(switches.follow(board, clock), "switches"):
        await board.set(TYPING, on=False)
        await pass_seconds(2.5)
        assert not switches.is_on(TYPING)
        board.down = True
        board.off.clear()
        await pass_seconds(10)
        assert not switches.is_on(TYPING)
        board.down = False
        await pass_seconds(2.5)
        assert switches.is_on(TYPING)
    assert [record.message for record in caplog.records if "cannot be read" in record.message] == [
        "switches cannot be read: they stay as they are"
    ]
