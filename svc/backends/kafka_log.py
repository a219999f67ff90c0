"""The event log on Kafka."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from svc.backends import kafka_topics
from svc.backends.kafka import CALL_SECONDS, ended, named, options, refusal, translated
from svc.backends.kafka_consumer import KafkaConsumer, entry_of
from svc.backends.kafka_places import Places
from svc.backends.kafka_producer import Producer
from svc.kernel.addresses import Address
from svc.kernel.clock import SystemClock
from svc.kernel.errors import StartError, Unavailable
from svc.kernel.eventlog import ACCEPTED, Entry, LoggedEntry
from svc.kernel.lifecycle import Failed, owned
from svc.kernel.log_clock import LogClock

_POLL_MS = 200
# Never waits: what is asked for is there.
_FETCH_WAIT_MS = 1


class KafkaEventLog:
    """`svc.kernel.eventlog.EventLog`. Topics and groups have the prefix of the address. `clock` is told the brokers' time."""

    def __init__(self, address: Address, producer: Producer, places: Places, clock: LogClock) -> None:
        self._address = address
        self._producer = producer
        self._places = places
        self._clock = clock

    async def append(self, topic: str, entries: Sequence[Entry]) -> Sequence[int]:
        if not entries:
            return []
        began = self._clock.monotonic()
        stored = await self._producer.append(named(self._address, topic), entries)
        self._clock.appended(began, stored.appended_us)
        return stored.offsets

    async def consume(self, topic: str, starts: dict[int, int]) -> KafkaConsumer:
        name = named(self._address, topic)
        consumer = KafkaConsumer(self._address, name, len(await self._places.partitions(name)))
        try:
            await consumer.open(starts)
        except BaseException:
            await consumer.close()
            raise
        return consumer

    async def read(self, topic: str, partition: int, start: int, count: int) -> Sequence[LoggedEntry]:
        place = TopicPartition(named(self._address, topic), partition)
        oldest, end = await self._places.bounds(*place)
        at, found = max(start, oldest), list[LoggedEntry]()
        if at >= end:
            return found
        # For people who look at dead letters, and replays of a thousand at a time: a consumer each time is quick enough.
        reader = AIOKafkaConsumer(
            **options(self._address), group_id=None, auto_offset_reset="none", fetch_max_wait_ms=_FETCH_WAIT_MS
        )
        with translated("been read"):
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await reader.start()
                    reader.assign([place])
                    reader.seek(place, at)
                    while len(found) < count and at < end:
                        records = await reader.getmany(timeout_ms=_POLL_MS, max_records=count - len(found))
                        found += map(entry_of, records.get(place, ()))
                        at = await reader.position(place)
            finally:
                await ended(reader.stop())
        return found

    async def end_offsets(self, topic: str) -> dict[int, int]:
        return {
            partition: end for partition, end in (await self._places.ends(named(self._address, topic))).items() if end
        }

    async def offsets_since(self, topic: str, time_us: int) -> dict[int, int]:
        return await self._places.since(named(self._address, topic), time_us // 1000)

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        return await self._places.committed(named(self._address, group), named(self._address, topic))

    async def commit(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        await self._places.commit(named(self._address, group), named(self._address, topic), offsets)

    async def ensure(self, partitions: int) -> None:
        await kafka_topics.ensure(self._address, self._places, partitions)

    async def ping(self) -> None:
        """Raises Unavailable when it does not answer."""
        await self.end_offsets(ACCEPTED)


@asynccontextmanager
async def open_kafka_log(
    address: Address, failed: Failed | None = None, clock: LogClock | None = None
) -> AsyncIterator[KafkaEventLog]:
    """For as long as the block lasts. `clock` is told the brokers' time. Raises StartError when Kafka does not answer."""
    places, producer = Places(address), Producer(address)
    try:
        try:
            await places.ping()
        except Unavailable as error:
            trouble = await refusal(address) or f"{', '.join(address.host_ports())}: {error.message}"
            raise StartError(f"Kafka cannot be reached: {trouble}; start it, or correct STONECHAT_KAFKA") from error
        async with owned(producer.run(), "producer of Kafka", failed):
            yield KafkaEventLog(address, producer, places, clock or LogClock(SystemClock()))
    finally:
        await places.close()
