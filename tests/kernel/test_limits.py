"""Token buckets, compared with a model that remembers everything; and several instances that share them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.kernel.errors import RateLimited
from svc.kernel.lifecycle import owned
from svc.kernel.limits import PORTIONS, Rate, RateLimiter
from tests.fakes import FakeClock
from tests.kernel.model_pool import ModelPool


def allowed(limiter: RateLimiter, who: str, what: str, rate: Rate) -> bool:
    try:
        limiter.take(who, what, rate)
    except RateLimited:
        return False
    return True


@given(
    st.integers(1, 20),
    st.integers(1, 10),
    st.lists(st.tuples(st.integers(0, 4000), st.sampled_from("ab"), st.sampled_from("xy")), max_size=120),
)
def test_in_any_stretch_of_time_no_more_than_burst_and_rate(
    per_second: int, burst: int, calls: list[tuple[int, str, str]]
):
    """For each user and method alone; and never less than a full bucket gives."""
    clock = FakeClock()
    limiter, rate = RateLimiter(clock), Rate(per_second, burst)
    taken: dict[tuple[str, str], list[float]] = {}
    levels: dict[tuple[str, str], tuple[float, float]] = {}
    for wait_ms, who, what in calls:
        clock.advance(wait_ms / 1000)
        now = clock.monotonic()
        level, at = levels.get((who, what), (float(burst), now))
        level = min(burst, level + (now - at) * per_second)
        got = allowed(limiter, who, what, rate)
        assert got or level < 1 + 1e-6
        assert not got or level > 1 - 1e-6
        levels[who, what] = (level - got, now)
        if got:
            taken.setdefault((who, what), []).append(now)
    for times in taken.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                assert last - first + 1 <= burst + per_second * (times[last] - times[first]) + 1e-6


def test_a_refusal_says_when_to_come_back_and_then_it_is_allowed():
    """Not sooner."""
    clock = FakeClock()
    limiter, rate = RateLimiter(clock), Rate(per_second=2, burst=3)
    for _ in range(3):
        limiter.take("u1", "Send", rate)
    with pytest.raises(RateLimited) as caught:
        limiter.take("u1", "Send", rate)
    assert caught.value.retry_after == pytest.approx(0.5)
    clock.advance(0.4)
    assert not allowed(limiter, "u1", "Send", rate)
    clock.advance(0.11)
    assert allowed(limiter, "u1", "Send", rate)


def test_users_and_methods_do_not_use_up_each_other_s_tokens():
    """One who is refused disturbs nobody."""
    limiter, rate = RateLimiter(FakeClock()), Rate(1, 1)
    assert allowed(limiter, "u1", "Send", rate)
    assert not allowed(limiter, "u1", "Send", rate)
    assert allowed(limiter, "u1", "Read", rate)
    assert allowed(limiter, "u2", "Send", rate)


def test_memory_is_bounded_and_those_who_called_lately_are_remembered():
    """A flood of names does not let the busy one go on."""
    limiter, rate = RateLimiter(FakeClock(), max_buckets=100), Rate(1, 1)
    assert allowed(limiter, "busy", "Send", rate)
    for number in range(1000):
        assert allowed(limiter, f"u{number}", "Send", rate)
        if number % 50 == 0:
            assert not allowed(limiter, "busy", "Send", rate)
    assert len(limiter._buckets) == 100


@given(
    st.integers(1, 30),
    st.integers(10, 40),
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 4), st.integers(1, 30)), max_size=60),
)
def test_instances_that_share_keep_nearly_to_one_limit(
    per_second: int, burst: int, instances: int, calls: list[tuple[int, int, int]]
):
    """Together no more than burst and rate, and two portions for each of them. And one alone, never less than its due."""

    async def play() -> None:
        clock = FakeClock()
        pool, rate = ModelPool(clock), Rate(per_second, burst)
        limiters = [RateLimiter(clock) for _ in range(instances)]
        for limiter in limiters:
            limiter._shared = True
        began, taken, alone = clock.monotonic(), 0, RateLimiter(clock)
        for wait_ms, which, count in calls:
            clock.advance(wait_ms / 1000)
            for _ in range(count):
                limiter = limiters[which % instances]
                got = allowed(limiter, "u1", "Send", rate)
                taken += got
                if instances == 1:
                    assert got == allowed(alone, "u1", "Send", rate)
                if limiter._due:
                    await limiter.tell(pool)
            assert taken <= burst + per_second * (clock.monotonic() - began) + 2 * instances * burst / PORTIONS + 1e-6

    asyncio.run(play())


async def test_what_one_instance_gave_out_the_others_do_not_have():
    """As soon as the pool has told them."""
    clock = FakeClock()
    pool, rate = ModelPool(clock), Rate(per_second=1, burst=100)
    one, other = RateLimiter(clock), RateLimiter(clock)
    async with owned(one.share(pool), "one"), owned(other.share(pool), "other"):
        for _ in range(3):
            await asyncio.sleep(0)
        assert sum([allowed(one, "u1", "Send", rate) for _ in range(150)]) == 100
        for _ in range(10):
            await asyncio.sleep(0)
        given = 0
        for _ in range(150):
            given += allowed(other, "u1", "Send", rate)
            for _ in range(10):
                await asyncio.sleep(0)
        assert given <= 100 / PORTIONS
        assert allowed(other, "u2", "Send", rate)


async def test_without_the_pool_each_keeps_the_limit_alone():
    """And when it is back, it is gone by again."""
    clock = FakeClock()
    pool, rate = ModelPool(clock), Rate(per_second=1, burst=100)
    pool.down = True
    one = RateLimiter(clock)
    async with owned(one.share(pool), "one"):
        await asyncio.sleep(0)
        given = 0
        for _ in range(150):
            given += allowed(one, "u1", "Send", rate)
            await asyncio.sleep(0)
        assert given == 100
        pool.down = False
        clock.advance(1000)
        assert sum([allowed(one, "u1", "Send", rate) for _ in range(150)]) == 100
        for _ in range(5):
            await asyncio.sleep(0)
        assert pool._buckets["u1", "Send"][0] == 0
