"""What one piece of work costs alone and in company: a record in Kafka, a message in Cassandra, an item between two processes.

    BACKENDS_DIR=… python -m bench.unit_costs kafka|cassandra|relay URL

Capacity is planned with these (`stonechat capacity`): what hundreds of processes send each other travels nearly alone, and
most of its cost is the request, not what is in it. Each is measured with one thing a request and with many, several requests
under way at a time, and told as µs of CPU a request and µs a thing, without what an idle node uses. `kafka` and `cassandra`
count all nodes of them that `backends/run` has started, replication included; `relay` tells both ends. Makes a topic or a
keyspace of its own and removes it.
"""

import asyncio
import multiprocessing
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

import grpc
import psutil

_SECONDS = 12.0
_WARM_UP_SECONDS = 60.0  # a JVM compiles what it often does; before that everything costs several times as much
_VALUE = os.urandom(400)
_MANY = 50
_MANY_ROWS = 20
_SENDERS = 24

Request = Callable[[], Awaitable[object]]
_NAME = "unit_costs"


def fitted(alone_us: float, together_us: float, many: int) -> tuple[float, float]:
    """(µs a request, µs a thing), from µs a request with one thing in it and with `many`."""
    thing = (together_us - alone_us) / (many - 1)
    return alone_us - thing, thing


def _cpu_s(pids: list[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(its.user + its.system for its in times))


def _nodes(service: str) -> list[int]:
    """The processes of a service, of one node or three, that `backends/run` has started in BACKENDS_DIR."""
    folder = os.environ.get("BACKENDS_DIR", "")
    found = [int(path.read_text()) for path in (Path(folder) / "run").glob(f"{service}*.pid")]
    if not found:
        raise SystemExit(f"unit_costs: no {service} of BACKENDS_DIR={folder}: backends/run start {service}")
    return found


async def _idle(pids: list[int]) -> float:
    """Cores that these processes keep busy when nobody asks for anything."""
    cpu = _cpu_s(pids)
    await asyncio.sleep(_SECONDS)
    return (_cpu_s(pids) - cpu) / _SECONDS


async def _per_request(pids: list[int], idle: float, requests: Sequence[Request], pause: float) -> float:
    """µs of CPU of these processes a request beyond being idle. Each of `requests` is made over and over, `pause` seconds
    apart; for a while without counting."""
    count = 0

    async def repeat(request: Request) -> None:
        nonlocal count
        while True:
            await request()
            count += 1
            await asyncio.sleep(pause)

    tasks = [asyncio.create_task(repeat(request)) for request in requests]
    try:
        await asyncio.sleep(_WARM_UP_SECONDS)
        before, cpu, begun = count, _cpu_s(pids), time.monotonic()
        await asyncio.sleep(_SECONDS)
        used = _cpu_s(pids) - cpu - idle * (time.monotonic() - begun)
        print(f"  {(count - before) / _SECONDS:.0f} requests a second")
        return used / (count - before) * 1e6
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def kafka(url: str) -> None:
    """Records of 400 bytes, acks=all. With three nodes the cost is that of all three: the leader's and its followers'."""
    from aiokafka import AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    pids = _nodes("kafka")
    hosts = url.partition("://")[2].split("?")[0].strip("/")
    admin = AIOKafkaAdminClient(bootstrap_servers=hosts)
    await admin.start()
    await admin.create_topics([NewTopic(_NAME, 12, len(pids))])
    producers = [
        AIOKafkaProducer(bootstrap_servers=hosts, acks="all", enable_idempotence=True, linger_ms=0)
        for _ in range(_SENDERS)
    ]
    await asyncio.gather(*(producer.start() for producer in producers))

    def sender(number: int, count: int) -> Request:
        async def send() -> None:
            batch = [await producers[number].send(_NAME, _VALUE, partition=number % 12) for _ in range(count)]
            await asyncio.gather(*batch)

        return send

    try:
        idle = await _idle(pids)
        alone = await _per_request(pids, idle, [sender(number, 1) for number in range(_SENDERS)], 0.0)
        together = await _per_request(pids, idle, [sender(number, _MANY) for number in range(_SENDERS)], 0.05)
    finally:
        await asyncio.gather(*(producer.stop() for producer in producers))
        await admin.delete_topics([_NAME])
        await admin.close()
    _tell(f"kafka, {len(pids)} nodes", alone, together, _MANY, "record")


async def cassandra(url: str) -> None:
    """Batches of an event row and a key row each, as one message has, of 1 and of 20 messages; all nodes, replicas included."""
    from bench import cassandra_drivers

    pids = _nodes("cassandra")
    host = url.partition("://")[2].partition(":")[0]
    driver = await cassandra_drivers.Native.open(host, str(len(pids)))
    turn = 0

    async def write(messages: int) -> None:
        nonlocal turn
        turn += 1
        await driver.write([statement for of in range(messages) for statement in _message(turn * 64 + of)])

    try:
        idle = await _idle(pids)
        alone = await _per_request(pids, idle, [lambda: write(1)] * _SENDERS, 0.0)
        together = await _per_request(pids, idle, [lambda: write(_MANY_ROWS)] * _SENDERS, 0.05)
    finally:
        await driver.close()
    _tell(f"cassandra, {len(pids)} nodes", alone, together, _MANY_ROWS, "message")


def _message(seq: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    from bench import cassandra_drivers as tables

    conversation, sender = f"d.u{seq % 1000}.u{seq % 997}", f"u{seq % 1000}"
    yield tables.EVENT, (conversation, 0, 0, seq, 1, sender, seq, f"c{seq}", seq, seq, _VALUE, seq, seq)
    yield tables.KEY, (conversation, sender, f"c{seq}", seq, _VALUE[:16])


async def _serve_items(server_end: Connection, streams: int, items: int, rate: float) -> None:
    """The owner's end: writes frames to its streams in turn, in ticks of 4 ms, and says how much CPU that took."""
    written: list[grpc.aio.ServicerContext[bytes, bytes]] = []
    done, all_here = asyncio.Event(), asyncio.Event()
    frame = _VALUE * items

    async def read(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        written.append(context)
        if len(written) == streams:
            all_here.set()
        await done.wait()

    server = grpc.aio.server()
    handler: Any = grpc.unary_stream_rpc_method_handler(read)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", {"Read": handler}),))
    server_end.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await all_here.wait()
    turn, count, cpu = 0, 0, 0.0
    for seconds in (3.0, _SECONDS):
        count, cpu, begun = 0, time.process_time(), time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            due = int(passed * rate) - count
            await asyncio.gather(*(written[(turn + of) % streams].write(frame) for of in range(min(due, streams))))
            turn, count = turn + min(due, streams), count + min(due, streams)
            await asyncio.sleep(0.004)
    server_end.send((time.process_time() - cpu, count))
    done.set()
    await server.stop(1.0)


def _owner(server_end: Connection, streams: int, items: int, rate: float) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_items(server_end, streams, items, rate))


async def _relayed(items: int, rate: float, streams: int = 40) -> tuple[float, float]:
    """µs of CPU a frame at the owner that writes it and at the node that reads it."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_owner, args=(theirs, streams, items, rate))
    process.start()
    target = f"127.0.0.1:{await asyncio.to_thread(ours.recv)}"
    read = 0

    async def one(channel: grpc.aio.Channel) -> None:
        nonlocal read
        async for _ in cast(Any, channel.unary_stream("/bench/Read"))(b""):
            read += 1

    # A connection for each stream: in an installation each leads to another owner.
    channels = [
        grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(streams)
    ]
    tasks = [asyncio.create_task(one(channel)) for channel in channels]
    await asyncio.sleep(4.0)
    read, cpu = 0, time.process_time()
    await asyncio.sleep(_SECONDS / 2)
    ours_us = (time.process_time() - cpu) / read * 1e6
    theirs_s, count = await asyncio.to_thread(ours.recv)
    await asyncio.gather(*tasks)
    for channel in channels:
        await channel.close()
    await asyncio.to_thread(process.join, 10)
    return theirs_s / count * 1e6, ours_us


async def relay(_: str) -> None:
    """Frames of one item and of 20 on 40 streams, each a connection of its own, 2,000 frames a second in all."""
    alone, together = await _relayed(1, 2000), await _relayed(20, 2000)
    _tell("relay, the owner writes", alone[0], together[0], 20, "item")
    _tell("relay, the node reads", alone[1], together[1], 20, "item")


def _tell(what: str, alone: float, together: float, many: int, thing: str) -> None:
    request, each = fitted(alone, together, many)
    print(f"{what}, µs: {alone:.0f} with one {thing}, {together:.0f} with {many}")
    print(f"  that is {request:.0f} a request and {each:.1f} a {thing}")


if __name__ == "__main__":
    import uvloop

    chosen = {"kafka": kafka, "cassandra": cassandra, "relay": relay}.get(sys.argv[1] if len(sys.argv) == 3 else "")
    if chosen is None:
        raise SystemExit(__doc__)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(chosen(sys.argv[2]))
