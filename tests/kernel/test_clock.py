"""How long to wait before trying again."""

import random

from svc.kernel.clock import Backoff, SystemClock


def test_delays_lie_below_a_doubling_ceiling():
    """Full jitter: anywhere between nothing and the ceiling, which is capped."""
    tries = [Backoff(1.0, 8.0, random.Random(seed)) for seed in range(300)]
    for ceiling in (1.0, 2.0, 4.0, 8.0, 8.0, 8.0):
        delays = [backoff.next_delay() for backoff in tries]
        assert all(0 <= delay <= ceiling for delay in delays)
        assert min(delays) < 0.05 * ceiling
        assert max(delays) > 0.95 * ceiling


def test_a_success_begins_anew():
    """And the attempts are counted."""
    backoff = Backoff(1.0, 1000.0, random.Random(1))
    for _ in range(2000):
        assert backoff.next_delay() <= 1000.0
    assert backoff.attempts == 2000
    backoff.reset()
    assert backoff.attempts == 0
    assert backoff.next_delay() <= 1.0


async def test_the_machine_s_clocks_go_forward():
    """Sleeping takes at least as long as was asked."""
    clock = SystemClock()
    before, wall = clock.monotonic(), clock.now_us()
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.01
    assert clock.now_us() > wall > 1_700_000_000_000_000
