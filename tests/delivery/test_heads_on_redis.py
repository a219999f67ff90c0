"""The cache of heads on a Redis that is wiped, stands still, or is put back as it was (fault test 10, the owner's part)."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from svc.backends.redis import Redis, open_redis
from svc.delivery.adapters.redis import RedisHeads
from svc.delivery.heads import HeadCache
from svc.kernel import addresses
from svc.kernel.clock import SystemClock
from svc.kernel.errors import Unavailable
from tests.real import Backends, private_backends

pytestmark = pytest.mark.real

NAMES = [f"c{number}" for number in range(50)]


@asynccontextmanager
async def session(backends: Backends) -> AsyncIterator[Redis]:
    async with open_redis(addresses.parse(addresses.REDIS, backends.address("redis")), SystemClock()) as redis:
        yield redis


def owner(redis: Redis, through: int) -> HeadCache:
    """One that takes the partition over, from this offset."""
    return HeadCache(RedisHeads(redis), "0.1", lambda name: 0, through, through)


async def messages(cache: HeadCache, through: int, seq: int) -> None:
    """Each conversation has come to this seq, and the log to this offset."""
    for name in NAMES:
        cache.stored(name, seq)
    await cache.write(through)


async def mark(redis: Redis) -> int | None:
    """How far the heads in Redis go; None when it does not answer."""
    try:
        return (await RedisHeads(redis).read("0.1", []))[0]
    except Unavailable:
        return None


async def told(cache: HeadCache, seq: int) -> None:
    """Wait until heads are told, and hold them against the truth."""
    async with asyncio.timeout(30):
        while not (heads := await cache.read(NAMES)):  # noqa: ASYNC110 - a Redis that comes back tells nobody
            await asyncio.sleep(0.05)
    assert heads == dict.fromkeys(NAMES, seq)


async def test_the_next_owner_finds_what_the_one_before_it_wrote(tmp_path: Path):
    """That is what it is for."""
    async with private_backends(tmp_path, "redis") as backends, session(backends) as redis:
        await messages(owner(redis, 0), 100, 2)
        await told(owner(redis, 100), 2)


async def test_an_old_copy_is_not_believed_whoever_comes_back_with_it(tmp_path: Path):
    """Saved, many messages, put back while no owner lives: the next one is told nothing, and begins anew."""
    async with private_backends(tmp_path, "redis") as backends:
        dump, copy = backends.data("redis") / "dump.rdb", tmp_path / "copy.rdb"
        async with session(backends) as redis:
            first = owner(redis, 0)
            await messages(first, 100, 2)
            await redis.ask("save", lambda client: client.save())
            shutil.copy(dump, copy)
            await messages(first, 1100, 22)
        await backends.kill("redis")
        shutil.copy(copy, dump)
        await backends.start("redis")
        async with session(backends) as redis:
            assert await RedisHeads(redis).read("0.1", ["0.c0"]) == (100, {"0.c0": 2})
            later = owner(redis, 1100)
            assert await later.read(NAMES) == {}
            await messages(later, 1150, 23)
            await told(later, 23)


async def test_an_old_copy_under_a_living_owner_is_not_believed_either(tmp_path: Path):
    """Nothing was written meanwhile, so nothing failed."""
    async with private_backends(tmp_path, "redis") as backends, session(backends) as redis:
        dump, copy = backends.data("redis") / "dump.rdb", tmp_path / "copy.rdb"
        cache = owner(redis, 0)
        await messages(cache, 100, 2)
        await redis.ask("save", lambda client: client.save())
        shutil.copy(dump, copy)
        await messages(cache, 1100, 22)
        await backends.kill("redis")
        shutil.copy(copy, dump)
        await backends.start("redis")
        async with asyncio.timeout(30):
            while await mark(redis) != 100:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        assert await cache.read(NAMES) == {}
        await messages(cache, 1150, 23)
        await told(cache, 23)


async def test_a_redis_that_stands_still_or_is_wiped_costs_only_what_it_knew(tmp_path: Path):
    """The owner goes on; when Redis does, it is told of again."""
    async with private_backends(tmp_path, "redis") as backends, session(backends) as redis:
        cache = owner(redis, 0)
        await messages(cache, 100, 2)
        await backends.pause("redis")
        await messages(cache, 200, 4)
        assert await cache.read(NAMES) == {}
        await backends.resume("redis")
        async with asyncio.timeout(30):
            # Of what it was sent meanwhile it may have read something when it went on.
            through = 300
            while await mark(redis) != through:
                through += 1
                await messages(cache, through, 6)
        await told(cache, 6)
        await redis.ask("wipe", lambda client: client.flushall())
        assert await cache.read(NAMES) == {}
        await messages(cache, 400, 8)
        await told(owner(redis, 400), 8)
