"""Little goes at once, much in rounds."""

from svc.kernel.pace import Pace
from tests.fakes import FakeClock


async def waited(pace, clock):
    before = clock.monotonic()
    await pace.wait()
    return clock.monotonic() - before


async def test_what_comes_slowly_never_waits():
    clock = FakeClock()
    pace = Pace(clock, 300.0, 0.004)
    for _ in range(200):
        assert await waited(pace, clock) == 0.0
        pace.ran(1)
        clock.advance(0.005)  # 200 a second


async def test_what_comes_fast_goes_in_rounds_until_it_is_slow_again():
    clock = FakeClock()
    pace = Pace(clock, 300.0, 0.004)
    for _ in range(400):
        pace.ran(1)
        clock.advance(0.001)  # 1,000 a second
    pace.ran(1)
    assert abs(await waited(pace, clock) - 0.004) < 1e-6
    assert await waited(pace, clock) == 0.0  # once a round
    clock.advance(1.0)
    pace.ran(1)
    assert await waited(pace, clock) == 0.0


async def test_a_burst_that_is_no_stream_does_not_wait():
    clock = FakeClock()
    pace = Pace(clock, 300.0, 0.004)
    pace.ran(10)
    assert await waited(pace, clock) == 0.0
