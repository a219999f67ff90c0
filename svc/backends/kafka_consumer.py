"""Reading Kafka by offset: one consumer of aiokafka over all partitions, those that are not wanted paused.

Taking a partition is a seek and a resume, dropping it a pause. `assign`, which ends every fetch under way, is called once, and
again only when there are more partitions (bench/RESULTS.md says what that costs).
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from svc.backends.kafka import ended, options, translated
from svc.kernel.addresses import Address
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import LoggedEntry

log = logging.getLogger(__name__)

# How long a broker holds a fetch when there is nothing. What is taken waits for the fetch under way: so much at worst.
_FETCH_WAIT_MS = 100
# What may lie here unread, per partition and per broker: compressed, as it comes. (A larger batch is fetched all the same.)
_PARTITION_BYTES = 256 * 1024
_BROKER_BYTES = 4 << 20
_POLL_SECONDS = 1.0
TROUBLE_SECONDS = 5.0
"""No broker has answered for so long: that is told."""
GIVE_UP_SECONDS = 30.0
"""And so long: another instance may be able to read."""


class KafkaConsumer:
    """`svc.kernel.eventlog.Consumer`. A partition that ends before what is to be read of it (protocol T4) raises Unavailable:
    whoever reads it must look where it ends."""

    def __init__(self, address: Address, topic: str, partitions: int) -> None:
        self._topic = topic
        self._known = partitions
        self._next: dict[
            int, int
        ] = {}  # per partition that is read: the offset after the newest one buffered or fetched
        self._buffers: dict[int, deque[LoggedEntry]] = {}  # what was not returned yet; in the order of their turns
        self._taken = asyncio.Event()
        self._silence = _Silence()
        self._consumer = AIOKafkaConsumer(
            **options(address),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_partition_fetch_bytes=_PARTITION_BYTES,
            fetch_max_bytes=_BROKER_BYTES,
        )

    async def open(self, starts: Mapping[int, int]) -> None:
        """Begin. Raises Unavailable."""
        with translated("let us read"):
            await self._consumer.start()
        self._assign()
        for partition, start in starts.items():
            await self.take(partition, start)

    async def take(self, partition: int, start: int) -> None:
        self.drop(partition)
        if partition >= self._known:
            self._known = partition + 1
            self._assign()
        self._next[partition] = start
        self._buffers[partition] = deque()
        self._consumer.seek(self._named(partition), start)
        self._consumer.resume(self._named(partition))
        self._taken.set()

    def drop(self, partition: int) -> None:
        if self._next.pop(partition, None) is None:
            return
        del self._buffers[partition]
        self._consumer.pause(self._named(partition))
        if not self._next:
            self._taken.clear()

    async def fetch(self, max_entries: int) -> Sequence[LoggedEntry]:
        # What has arrived of partitions with nothing left comes along with what is left of the others.
        empty = [partition for partition, buffer in self._buffers.items() if not buffer]
        if 0 < len(empty) < len(self._buffers):
            await self._collect(0, empty)
        if not any(self._buffers.values()):
            self._silence.begin()
        while not any(self._buffers.values()):
            await self._taken.wait()
            await self._collect(_POLL_SECONDS)
            if self._next:
                answered = [self._consumer.last_poll_timestamp(self._named(partition)) or 0 for partition in self._next]
                self._silence.heard(max(answered))
        return self._served(max_entries)

    def lag(self, partition: int | None = None) -> int:
        return sum(
            len(self._buffers[each]) + max(0, (self._consumer.highwater(self._named(each)) or 0) - offset)
            for each, offset in self._next.items()
            if partition in (None, each)
        )

    async def close(self) -> None:
        await ended(self._consumer.stop())
        await ended(self._consumer._client.close())  # `stop` leaves it open when a fetch was about to be repeated

    async def _collect(self, seconds: float, partitions: Sequence[int] = ()) -> None:
        named = [self._named(partition) for partition in partitions]
        with translated("been read"):
            try:
                found = await self._consumer.getmany(*named, timeout_ms=int(seconds * 1000))
            except OffsetOutOfRangeError as error:
                await self._correct(error)
                return
        for each, records in found.items():
            if each.partition in self._next:
                self._next[each.partition] = records[-1].offset + 1
                self._buffers[each.partition].extend(map(entry_of, records))

    def _served(self, max_entries: int) -> list[LoggedEntry]:
        """Each partition has its turn: a long backlog of one does not hold up the others."""
        found: list[LoggedEntry] = []
        waiting = [partition for partition, buffer in self._buffers.items() if buffer]
        while waiting and len(found) < max_entries:
            partition = waiting.pop(0)
            buffer = self._buffers[partition]
            share = max(1, (max_entries - len(found)) // (len(waiting) + 1))
            found += [buffer.popleft() for _ in range(min(share, len(buffer)))]
            self._buffers[partition] = self._buffers.pop(partition)
        return found

    async def _correct(self, error: OffsetOutOfRangeError) -> None:
        """What we want next is not there: it has been removed as too old, or the log was cut."""
        wanted = [each for each in error.args[0] if each.partition in self._next]
        for each, oldest in (await self._consumer.beginning_offsets(wanted) if wanted else {}).items():
            next_offset = self._next.get(each.partition)
            if next_offset is None:
                continue
            if oldest <= next_offset:
                raise Unavailable(f"partition {each.partition} ends before {next_offset}, which was to be read next")
            log.warning(
                "entries were removed before they were read",
                extra={"topic": each.topic, "partition": each.partition, "from": next_offset, "to": oldest},
            )
            self._next[each.partition] = oldest
            self._consumer.seek(each, oldest)

    def _assign(self) -> None:
        named = [self._named(partition) for partition in range(self._known)]
        self._consumer.assign(named)
        for each in named:
            # A position, so that nobody asks for a committed one; of what is paused nothing is fetched.
            self._consumer.seek(each, self._next.get(each.partition, 0))
            if each.partition not in self._next:
                self._consumer.pause(each)

    def _named(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)


def entry_of(record: ConsumerRecord) -> LoggedEntry:
    """What Kafka returned, as the log gives it. Its time is in ms, and the log's own (see kafka_topics)."""
    key = record.key.decode(errors="replace") if record.key else ""
    return LoggedEntry(record.partition, record.offset, record.timestamp * 1000, key, record.value or b"")


class _Silence:
    """aiokafka asks again for ever, and says nothing: whether brokers answer shows in when they last did."""

    def __init__(self) -> None:
        self._last = 0
        self._since = 0.0
        self._told = False

    def begin(self) -> None:
        """Somebody waits for entries from now on."""
        self._since = time.monotonic()

    def heard(self, last: int) -> None:
        """Brokers answered last at `last`, in any unit. Raises Unavailable when that is GIVE_UP_SECONDS ago."""
        now = time.monotonic()
        if last != self._last:
            self._last, self._since = last, now
            if self._told:
                self._told = False
                log.warning("reading Kafka again")
        elif now - self._since > GIVE_UP_SECONDS:
            raise Unavailable(f"Kafka has not been read for {GIVE_UP_SECONDS:.0f} s")
        elif now - self._since > TROUBLE_SECONDS and not self._told:
            self._told = True
            log.error("cannot read Kafka: waiting for it")
