"""How one process reads several partitions of Kafka that come and go: three ways, measured.

    python -m bench.kafka_consumers paused|assigned|many [KAFKA_URL [SECONDS]]

`paused`: one consumer is assigned all partitions, those not wanted are paused. `assigned`: one consumer, assigned anew when a
partition comes or goes. `many`: a consumer for each partition. Five partitions, 300-byte records in batches of four at 1,000/s
from another process; four are read all the time, the fifth is taken and dropped again and again. Prints CPU per record of this
process, p50 and p99 from append to fetch of the four, the same while the fifth comes and goes, and how long it takes until
its first record is there: under load, and idle, where it also appends to another partition at that moment.
"""

import asyncio
import statistics
import sys
import time
import uuid
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from svc.backends.kafka import options
from svc.kernel import addresses

PARTITIONS = 5
FIFTH = PARTITIONS - 1
_BATCH, _EVERY = 4, 0.004
_SWITCHES = 20
_FETCH = {"fetch_max_wait_ms": 100, "auto_offset_reset": "none", "enable_auto_commit": False}


class Reading:
    """What was fetched: seconds from append to fetch per partition, in order."""

    def __init__(self, way: str, topic: str, url: str) -> None:
        self.way = way
        self.delays: dict[int, list[float]] = {partition: [] for partition in range(PARTITIONS)}
        self._came = asyncio.Event()
        self._topic = topic
        self._options = options(addresses.parse(addresses.KAFKA, url))
        self._consumers: dict[int, AIOKafkaConsumer] = {}
        self._next = dict.fromkeys(range(PARTITIONS), 0)
        self._held: set[int] = set()
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def named(self, partition: int) -> TopicPartition:
        """As aiokafka names it."""
        return TopicPartition(self._topic, partition)

    async def open(self, partitions: Sequence[int]) -> None:
        """Begin with these."""
        self._held = set(partitions)
        for partition in partitions if self.way == "many" else [0]:
            self._consumers[partition] = consumer = AIOKafkaConsumer(**self._options, **_FETCH)
            await consumer.start()
            self._assign(consumer, [partition] if self.way == "many" else range(PARTITIONS))
            self._tasks[partition] = asyncio.create_task(self._read(consumer))

    def _assign(self, consumer: AIOKafkaConsumer, partitions: Sequence[int]) -> None:
        if self.way == "assigned":
            partitions = sorted(self._held)
        consumer.assign([self.named(each) for each in partitions])
        for each in partitions:
            consumer.seek(self.named(each), self._next[each])
            if each not in self._held:
                consumer.pause(self.named(each))

    async def take(self, partition: int, start: int) -> None:
        """Read it too."""
        self._next[partition] = start
        self._held.add(partition)
        if self.way == "many":
            self._consumers[partition] = consumer = AIOKafkaConsumer(**self._options, **_FETCH)
            await consumer.start()
            self._assign(consumer, [partition])
            self._tasks[partition] = asyncio.create_task(self._read(consumer))
        elif self.way == "assigned":
            self._assign(self._consumers[0], [])
        else:
            self._consumers[0].seek(self.named(partition), start)
            self._consumers[0].resume(self.named(partition))

    async def drop(self, partition: int) -> None:
        """Read it no more."""
        self._held.discard(partition)
        if self.way == "many":
            self._tasks.pop(partition).cancel()
            await self._consumers.pop(partition).stop()
        elif self.way == "assigned":
            self._assign(self._consumers[0], [])
        else:
            self._consumers[0].pause(self.named(partition))

    async def has(self, partition: int, count: int) -> None:
        """Wait for so many records of it."""
        while len(self.delays[partition]) < count:
            self._came.clear()
            await self._came.wait()

    async def close(self) -> None:
        """End."""
        for task in self._tasks.values():
            task.cancel()
        for consumer in self._consumers.values():
            await consumer.stop()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            found = await consumer.getmany(timeout_ms=1000, max_records=500)
            now = time.time_ns()
            for named, records in found.items():
                self.delays[named.partition] += [(now - int(record.value[:20])) / 1e6 for record in records]
                self._next[named.partition] = records[-1].offset + 1
            self._came.set()


async def feed(topic: str, url: str) -> None:
    """Append until killed."""
    producer = AIOKafkaProducer(**options(addresses.parse(addresses.KAFKA, url)), enable_idempotence=True)
    await producer.start()
    turn = 0
    while True:
        batch = producer.create_batch()
        for _ in range(_BATCH):
            batch.append(key=None, value=b"%020d" % time.time_ns() + b"x" * 280, timestamp=None)
        await producer.send_batch(batch, topic, partition=turn % PARTITIONS)
        turn += 1
        await asyncio.sleep(_EVERY)


async def measure(way: str, url: str, seconds: float) -> None:
    """One way, on a topic of its own."""
    topic = f"bench.{uuid.uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(**options(addresses.parse(addresses.KAFKA, url)))
    await admin.start()
    await admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    feeder = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.kafka_consumers", "feed", url, topic)
    reading = Reading(way, topic, url)
    producer = AIOKafkaProducer(**options(addresses.parse(addresses.KAFKA, url)))
    await producer.start()
    try:
        await reading.open(range(FIFTH))
        await reading.has(0, 200)
        for delays in reading.delays.values():
            delays.clear()
        cpu = time.process_time()
        await asyncio.sleep(seconds)
        cpu = time.process_time() - cpu
        steady = sorted(delay for delays in reading.delays.values() for delay in delays)
        _tell(f"{way}: steady, {1e6 * cpu / len(steady):.0f} µs of CPU a record", steady)
        for delays in reading.delays.values():
            delays.clear()
        firsts = [await _switch(reading, topic, url) for _ in range(_SWITCHES)]
        _tell(
            f"{way}: the four while the fifth comes and goes",
            sorted(d for p in range(FIFTH) for d in reading.delays[p]),
        )
        _tell(f"{way}: first record of the fifth after it was taken, under load", sorted(firsts))
        feeder.kill()
        await asyncio.sleep(0.5)
        cpu = time.process_time()
        await asyncio.sleep(seconds)
        print(f"{way}: idle, {100 * (time.process_time() - cpu) / seconds:.1f} % of a core")
        for delays in reading.delays.values():
            delays.clear()
        firsts = [await _switch(reading, topic, url, producer) for _ in range(_SWITCHES)]
        _tell(f"{way}: first record of the fifth after it was taken, idle", sorted(firsts))
        _tell(f"{way}: a record of another that is appended just then", sorted(reading.delays[0]))
    finally:
        if feeder.returncode is None:
            feeder.kill()
        await feeder.wait()
        await reading.close()
        await producer.stop()
        await admin.delete_topics([topic])
        await admin.close()


async def _switch(reading: Reading, topic: str, url: str, producer: AIOKafkaProducer | None = None) -> float:
    asking = AIOKafkaConsumer(**options(addresses.parse(addresses.KAFKA, url)))
    await asking.start()
    named = reading.named(FIFTH)
    end = (await asking.end_offsets([named]))[named]
    await asking.stop()
    before, began = len(reading.delays[FIFTH]), time.perf_counter()
    await reading.take(FIFTH, end - 1)
    if producer is not None:
        await producer.send_and_wait(topic, b"%020d" % time.time_ns(), partition=0)
    await reading.has(FIFTH, before + 1)
    took = 1e3 * (time.perf_counter() - began)
    await asyncio.sleep(0.05)
    await reading.drop(FIFTH)
    await asyncio.sleep(0.05)
    return took


def _tell(what: str, values: list[float]) -> None:
    p99 = values[min(len(values) - 1, int(0.99 * len(values)))]
    print(f"{what}: p50 {statistics.median(values):.1f} ms, p99 {p99:.1f} ms, worst {values[-1]:.1f} ms", flush=True)


if __name__ == "__main__":
    chosen, given = sys.argv[1], [*sys.argv[2:], "kafka://127.0.0.1:9092?replication=1"]
    if chosen == "feed":
        asyncio.run(feed(sys.argv[3], given[0]))
    else:
        asyncio.run(measure(chosen, given[0], float(sys.argv[3]) if len(sys.argv) > 3 else 5.0))
