"""What a cache in Redis would spare: heads of sleeping conversations, and pages of closed history, against reading Cassandra.

    python -m bench.caches [HOST]

Prints, for each, p50 and p99 in ms of one call, and the CPU of this process for it in µs (all threads). Makes the keyspace
`cache_bench` and keys below `cache_bench`, and removes them.
"""

import asyncio
import base64
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

import acsylla

from svc.backends.cassandra import open_cassandra
from svc.backends.cassandra_connect import connected
from svc.backends.cassandra_migrations import migrate
from svc.backends.redis import Redis, open_redis
from svc.backends.sealing import parse_master_keys
from svc.delivery.adapters.cassandra import CassandraMessageStore as Writing
from svc.delivery.adapters.redis import RedisHeads
from svc.delivery.model import Event, Position
from svc.history.adapters.cassandra import CassandraMessageStore as Reading
from svc.kernel import addresses
from svc.kernel.clock import SystemClock
from svc.kernel.record import Kind, Record

NAME = "cache_bench"
PAGE, HEADS, CALLS = 50, 500, 300


def events(name: str, count: int) -> list[Event]:
    """So many messages of 300 bytes."""
    made = []
    for seq in range(1, count + 1):
        body = b"\x12\xac\x02" + os.urandom(150).hex().encode()
        record = Record(Kind.MESSAGE, name, "u1", f"k{seq}", seq, body)
        made.append(Event(record, Kind.MESSAGE, Position(0, seq), seq, 1_750_000_000_000_000 + seq, seq, 0))
    return made


async def measure(what: str, in_flight: int, call: Callable[[int], Awaitable[object]]) -> None:
    """Print one line."""
    took: list[float] = []

    async def worker(first: int) -> None:
        for number in range(first, CALLS, in_flight):
            began = time.perf_counter()
            await call(number)
            took.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*map(worker, range(in_flight)))
    took.clear()
    cpu = time.process_time()
    await asyncio.gather(*map(worker, range(in_flight)))
    each = (time.process_time() - cpu) / CALLS * 1e6
    p50, p99 = statistics.median(took), statistics.quantiles(took, n=100)[98]
    print(f"{what:<46} {in_flight:>3} in flight   {p50:6.2f} / {p99:6.2f} ms   {each:7.0f} µs", flush=True)


async def pages(store: Writing, reading: Reading, redis: Redis) -> None:
    """A page of history, and what goes before it: whether the caller is a member, whether the message to start from exists."""
    for event in events("g1", 3 * PAGE):
        await store.write([event])
    page = await reading.messages_before("g1", 2 * PAGE, PAGE)
    assert len(page) == PAGE
    rows = [asdict(event) | {"body": base64.b64encode(event.body).decode()} for event in page]
    key, revision = redis.key("page"), redis.key("revision")
    stored = json.dumps(rows).encode()
    await redis.ask("set", lambda client: client.mset({key: stored, revision: b"1"}))

    async def cached(number: int) -> object:
        found: Sequence[bytes] = await redis.ask("page", lambda client: client.mget([revision, key]))
        return [event | {"body": base64.b64decode(event["body"])} for event in json.loads(found[1])]

    for in_flight in (1, 16):
        await measure("membership, Cassandra", in_flight, lambda number: reading.is_member("u1", "g1"))
        await measure("message to start from, Cassandra", in_flight, lambda number: reading.record_id("g1", 2 * PAGE))
        await measure(
            f"page of {PAGE}, Cassandra", in_flight, lambda number: reading.messages_before("g1", 2 * PAGE, PAGE)
        )
        await measure(f"page of {PAGE} and its revision, Redis", in_flight, cached)
    await redis.ask("remove", lambda client: client.delete(key, revision))


async def heads(store: Writing, redis: Redis) -> None:
    """Heads of many conversations at once, as whoever takes a partition over is asked for."""
    names = [f"d.u1.u{number}" for number in range(HEADS)]
    for start in range(0, HEADS, 20):
        await store.write([event for name in names[start : start + 20] for event in events(name, 1)])
    cache = RedisHeads(redis)
    await cache.write("0.1", 0, 1, 1, dict.fromkeys(names, 1))
    sleeping = dict.fromkeys(names, Position(0, 1 << 40))
    await measure(f"{HEADS} heads, Cassandra", 1, lambda number: store.load(sleeping))
    await measure(f"{HEADS} heads, Redis", 1, lambda number: cache.read("0.1", names))
    await measure(
        f"{HEADS} heads written, Redis", 1, lambda number: cache.write("0.1", 1, 1, 1, dict.fromkeys(names, 1))
    )
    keys = cache._keys("0.1", names)
    await redis.ask("remove", lambda client: client.delete(*keys))


async def main(host: str) -> None:
    """Measure everything."""
    place = addresses.parse(addresses.CASSANDRA, f"cassandra://{host}:9042/{NAME}?replication=1")
    seal = parse_master_keys("1:" + base64.b64encode(os.urandom(32)).decode())
    await migrate(place)
    try:
        async with (
            open_cassandra(place, seal) as cassandra,
            open_redis(addresses.parse(addresses.REDIS, f"redis://{host}:6379/{NAME}"), SystemClock(), 5.0) as redis,
        ):
            await pages(Writing(cassandra), Reading(cassandra), redis)
            await heads(Writing(cassandra), redis)
    finally:
        async with connected(place, None) as session:
            await session.execute(acsylla.create_statement(f"DROP KEYSPACE {NAME}", timeout=30.0))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"))
