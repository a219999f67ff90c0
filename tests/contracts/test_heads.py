"""What every cache of heads promises (`svc.delivery.ports.Heads`): Redis, and the model that the rules are tested on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svc.backends.redis import Client, open_redis
from svc.delivery.adapters.redis import TTL_SECONDS, RedisHeads
from svc.delivery.ports import Heads
from svc.kernel import addresses
from svc.kernel.clock import SystemClock
from tests.delivery.model_heads import ModelHeads
from tests.real import address, unique

SPACE, OTHER = "0.1", "0.2"


@dataclass
class Cache:
    heads: Heads
    wipe: Callable[[], Awaitable[None]]


@pytest.fixture(params=["model", pytest.param("redis", marks=pytest.mark.real)])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    if request.param == "model":
        model = ModelHeads()

        async def wipe_model() -> None:
            model.wipe()

        yield Cache(model, wipe_model)
        return
    url = address("redis", unique("heads"))
    async with open_redis(addresses.parse(addresses.REDIS, url), SystemClock()) as redis:

        async def remove(client: Client) -> None:
            async for key in client.scan_iter(redis.key("*"), count=1000):
                await client.delete(key)

        async def wipe() -> None:
            await redis.ask("wipe", remove)

        yield Cache(RedisHeads(redis), wipe)
        await wipe()


@pytest.fixture
def heads(cache: Cache) -> Heads:
    return cache.heads


async def test_nothing_is_known_at_first(heads: Heads):
    """No chain, no heads."""
    assert await heads.read(SPACE, ["a", "b"]) == (-1, {})


async def test_heads_are_kept_with_how_far_they_go(heads: Heads):
    """Stretch after stretch, each joining on."""
    await heads.write(SPACE, 10, 20, 20, {"a": 3, "b": 7})
    assert await heads.read(SPACE, ["a", "b", "c"]) == (20, {"a": 3, "b": 7})
    await heads.write(SPACE, 20, 25, 25, {"a": 5})
    await heads.write(SPACE, 25, 30, 30, {})
    assert await heads.read(SPACE, ["c", "b", "a"]) == (30, {"a": 5, "b": 7})
    assert await heads.read(SPACE, []) == (30, {})


async def test_spaces_do_not_know_each_other(heads: Heads):
    """A conversation of one partition is none of another."""
    await heads.write(SPACE, 0, 20, 20, {"a": 3})
    await heads.write(OTHER, 0, 7, 7, {"a": 9})
    assert await heads.read(SPACE, ["a"]) == (20, {"a": 3})
    assert await heads.read(OTHER, ["a"]) == (7, {"a": 9})


async def test_heads_only_rise(heads: Heads):
    """A stretch that was written already, by whomever, changes nothing for the worse."""
    await heads.write(SPACE, 0, 20, 20, {"a": 9})
    await heads.write(SPACE, 5, 20, 20, {"a": 4, "b": 1})
    assert await heads.read(SPACE, ["a", "b"]) == (20, {"a": 9, "b": 1})


async def test_a_gap_begins_another_chain(heads: Heads):
    """What was written before it counts no more, also when it is joined later."""
    await heads.write(SPACE, 0, 20, 20, {"a": 9, "b": 2})
    await heads.write(SPACE, 21, 30, 30, {"a": 11})
    assert await heads.read(SPACE, ["a", "b"]) == (30, {"a": 11})
    await heads.write(SPACE, 30, 31, 31, {})
    assert await heads.read(SPACE, ["a", "b"]) == (31, {"a": 11})


async def test_another_chain_may_begin_lower(heads: Heads):
    """In a void chain a head is whatever it was; in the new one it is what is said."""
    await heads.write(SPACE, 0, 20, 20, {"a": 9})
    await heads.write(SPACE, 21, 30, 30, {"a": 4})
    assert await heads.read(SPACE, ["a"]) == (30, {"a": 4})


async def test_who_is_behind_changes_nothing(heads: Heads):
    """A former owner, or one that reads again what was written."""
    await heads.write(SPACE, 0, 50, 50, {"a": 9})
    await heads.write(SPACE, 10, 40, 60, {"a": 20, "b": 1})
    assert await heads.read(SPACE, ["a", "b"]) == (50, {"a": 9})


async def test_who_was_behind_joins_on_where_it_gets_ahead(heads: Heads):
    """Its stretch begins before the mark and ends beyond it."""
    await heads.write(SPACE, 0, 50, 50, {"a": 9})
    await heads.write(SPACE, 40, 60, 60, {"a": 10, "b": 1})
    assert await heads.read(SPACE, ["a", "b"]) == (60, {"a": 10, "b": 1})


async def test_a_chain_beyond_the_end_of_the_log_is_void(heads: Heads):
    """It was made of another log."""
    await heads.write(SPACE, 0, 5000, 5000, {"a": 900, "b": 900})
    await heads.write(SPACE, 0, 10, 12, {"a": 2})
    assert await heads.read(SPACE, ["a", "b"]) == (10, {"a": 2})


async def test_what_is_lost_is_lost(cache: Cache):
    """Also in the middle: the next stretch begins another chain."""
    await cache.heads.write(SPACE, 0, 20, 20, {"a": 9, "b": 3})
    await cache.wipe()
    assert await cache.heads.read(SPACE, ["a"]) == (-1, {})
    await cache.heads.write(SPACE, 20, 30, 30, {"a": 10})
    assert await cache.heads.read(SPACE, ["a", "b"]) == (30, {"a": 10})


async def test_thousands_at_once(heads: Heads):
    """As a whole node of them."""
    many = {f"c{number}": number for number in range(1, 5001)}
    await heads.write(SPACE, 0, 5000, 5000, many)
    assert await heads.read(SPACE, list(many)) == (5000, many)


async def test_writers_at_the_same_time(heads: Heads):
    """Each write is one step, whoever else writes."""
    await heads.write(SPACE, 0, 1, 100, {})
    await asyncio.gather(*(heads.write(SPACE, 1, 1, 100, {"a": seq, f"b{seq}": seq}) for seq in range(1, 30)))
    names = ["a", *(f"b{seq}" for seq in range(1, 30))]
    assert await heads.read(SPACE, names) == (1, {"a": 29} | {f"b{seq}": seq for seq in range(1, 30)})


@pytest.mark.real
async def test_entries_do_not_stay_for_ever():
    """The mark does: it is one for each partition."""
    url = address("redis", unique("heads"))
    async with open_redis(addresses.parse(addresses.REDIS, url), SystemClock()) as redis:
        await RedisHeads(redis).write(SPACE, 0, 1, 1, {"a": 1})
        keys = sorted(await redis.ask("keys", lambda client: client.keys(redis.key("*"))))
        left = [await redis.ask("ttl", lambda client, key=key: client.ttl(key)) for key in keys]  # type: ignore[misc]
        assert len(keys) == 2
        assert sorted(left)[0] == -1
        assert 0 < sorted(left)[1] <= TTL_SECONDS
        await redis.ask("remove", lambda client: client.delete(*keys))


WRITES = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.integers(0, 12),
        st.integers(0, 14),
        st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)),
    ),
    max_size=25,
)


@pytest.mark.real
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(WRITES)
def test_redis_does_what_the_model_does(writes: list[tuple[int, int, int, dict[str, int]]]):
    """Whatever is written, in whatever order."""

    async def both() -> None:
        model = ModelHeads()
        url = address("redis", unique("heads"))
        async with open_redis(addresses.parse(addresses.REDIS, url), SystemClock()) as redis:
            real = RedisHeads(redis)
            for start, length, beyond, heads in writes:
                for either in (model, real):
                    await either.write(SPACE, start, start + length, start + length + beyond, heads)
                assert await real.read(SPACE, "abc") == await model.read(SPACE, "abc")
            await redis.ask("remove", lambda client: client.delete(*real._keys(SPACE, "abc")))

    asyncio.run(both())
