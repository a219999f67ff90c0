"""What every pool of token buckets promises (`svc.kernel.limits.Pool`). Rates are so slow that time plays no part, but where
it is said."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from svc.backends.redis import open_redis
from svc.backends.redis_buckets import RedisBuckets
from svc.kernel import addresses
from svc.kernel.clock import SystemClock
from svc.kernel.limits import Pool, Rate, Spent
from tests.kernel.model_pool import ModelPool
from tests.real import address, unique

SLOW = Rate(per_second=0.001, burst=100)
QUICK = Rate(per_second=1000, burst=50)


@pytest.fixture(params=["model", pytest.param("redis", marks=pytest.mark.real)])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[Pool]:
    if request.param == "model":
        yield ModelPool(SystemClock())
        return
    url = address("redis", unique("buckets"))
    async with open_redis(addresses.parse(addresses.REDIS, url), SystemClock()) as redis:
        yield RedisBuckets(redis)
        for key in await redis.ask("keys", lambda client: client.keys(redis.key("*"))):
            assert await redis.ask("ttl", lambda client, key=key: client.ttl(key)) > 0  # type: ignore[misc]
            await redis.ask("remove", lambda client, key=key: client.delete(key))  # type: ignore[misc]


async def test_a_bucket_is_full_until_something_is_taken(pool: Pool):
    """And then there is less, for whoever asks."""
    assert [100 - level for level in await pool.spend([Spent("u1", "Send", SLOW, 30)])] == [pytest.approx(30, abs=0.5)]
    assert [100 - level for level in await pool.spend([Spent("u1", "Send", SLOW, 50)])] == [pytest.approx(80, abs=0.5)]


async def test_each_has_its_own(pool: Pool):
    """By who and by what; the answers come in the order of the questions."""
    spent = [Spent("u1", "Send", SLOW, 10), Spent("u1", "Read", SLOW, 20), Spent("u2", "Send", SLOW, 30)]
    assert [100 - level for level in await pool.spend(spent)] == pytest.approx([10, 20, 30], abs=0.5)
    assert [100 - level for level in await pool.spend(spent[::-1])] == pytest.approx([60, 40, 20], abs=0.5)
    assert list(await pool.spend([])) == []


async def test_what_was_given_out_beyond_it_is_owed(pool: Pool):
    """But nobody waits for more than a minute."""
    rate = Rate(per_second=0.5, burst=100)
    assert list(await pool.spend([Spent("u1", "Send", rate, 120)])) == [pytest.approx(-20, abs=0.5)]
    assert list(await pool.spend([Spent("u1", "Send", rate, 500)])) == [pytest.approx(-30, abs=0.5)]


async def test_it_fills_with_time_and_no_more_than_full(pool: Pool):
    """A thousand a second: full again before the last of these."""
    levels = []
    for _ in range(20):
        levels.extend(await pool.spend([Spent("u1", "Send", QUICK, 5)]))
        await asyncio.sleep(0.01)
    assert max(levels) <= 45
    assert min(levels) >= -60_000
    await asyncio.sleep(0.2)
    assert list(await pool.spend([Spent("u1", "Send", QUICK, 0)])) == [50]


async def test_many_instances_at_the_same_time(pool: Pool):
    """Nothing that was told is forgotten."""
    await asyncio.gather(*(pool.spend([Spent("u1", "Send", SLOW, 2)] * 2) for _ in range(20)))
    (level,) = await pool.spend([Spent("u1", "Send", SLOW, 0)])
    assert level == pytest.approx(20, abs=0.5)
