"""One producer of aiokafka: entries become batches, and when it is stopped what waits in it is not sent."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer

from svc.backends.kafka import ended, options
from svc.kernel.addresses import Address
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import Entry

# One write of a broker. Kafka takes a megabyte at most, as it is configured by default.
_BATCH_BYTES = 512 * 1024
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Stored:
    """What one append has got: the offsets of its entries, and when the broker stored the last batch of them, µs since 1970."""

    offsets: list[int]
    appended_us: int


class Batches:
    """Idempotent: entries of one call to one partition stand in the order given, once, unless it fails."""

    def __init__(self, address: Address) -> None:
        self._producer = AIOKafkaProducer(
            **options(address),
            enable_idempotence=True,
            acks="all",
            compression_type="lz4",
            linger_ms=0,
            max_batch_size=_BATCH_BYTES,
        )
        # aiokafka lets one batch wait for each partition. Who comes next waits, and is overtaken by who comes later, until it
        # gives up: so one at a time asks.
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._producer.start()

    async def append(self, topic: str, entries: Sequence[Entry]) -> Stored:
        """Store entries. Waits as long as it takes. Raises KafkaError, and Unavailable where there is no
        such partition."""
        by_partition: dict[int, list[int]] = {}
        for index, entry in enumerate(entries):
            by_partition.setdefault(entry.partition, []).append(index)
        await self._know(topic, by_partition.keys())
        sending: list[tuple[list[int], asyncio.Future[Any]]] = []
        try:
            for partition, indices in by_partition.items():
                async with self._turns[topic, partition]:
                    while indices:
                        batch, taken = self._batch([entries[index] for index in indices])
                        future = await self._producer.send_batch(batch, topic, partition=partition)
                        sending.append((indices[:taken], future))
                        indices = indices[taken:]
            stored = await asyncio.gather(*(future for _, future in sending))
        except BaseException:
            for _, future in sending:
                future.cancel()  # nobody asks for it any more
            raise
        firsts = [(indices, place.offset) for (indices, _), place in zip(sending, stored, strict=True)]
        return Stored(_placed(len(entries), firsts), max(place.timestamp for place in stored) * 1000)

    async def stop(self) -> None:
        """End it, without what aiokafka's `stop` does first: sending what waits. Who waited for that was told that the outcome
        is unknown, and does it again."""
        client, waiting, sender = self._producer.client, self._producer._message_accumulator, self._producer._sender
        if sender.sender_task is not None:
            sender.sender_task.cancel()  # nothing is sent from here on
            await ended(client.close())  # and what is under way fails
            await ended(self._end_of(sender.sender_task))
        waiting._batches.clear()
        waiting._pending_batches.clear()
        await ended(self._producer.stop())

    async def _end_of(self, sender: "asyncio.Task[None]") -> None:
        # It waits for its requests, and those wait to hear who leads now, which nobody asks any more.
        client = self._producer.client
        while not sender.done():
            if client._md_update_fut is not None and not client._md_update_fut.done():
                client._md_update_fut.set_result(False)
            await asyncio.wait([sender], timeout=_LOOK_SECONDS)

    async def _know(self, topic: str, partitions: Set[int]) -> None:
        if not partitions <= await self._producer.partitions_for(topic):
            await self._producer.client.force_metadata_update()  # there may be more since
            if missing := partitions - await self._producer.partitions_for(topic):
                raise Unavailable(f"{topic} has no partition {min(missing)}")

    def _batch(self, entries: Sequence[Entry]) -> tuple[Any, int]:
        """A batch of as many as there is room for, at least one. It is one write of the broker, and costs half of as many
        single sends."""
        batch, taken = self._producer.create_batch(), 0
        for entry in entries:
            if batch.append(key=entry.key.encode(), value=entry.value, timestamp=None) is None:
                break
            taken += 1
        batch.close()
        return batch, taken


def _placed(count: int, stored: Sequence[tuple[Sequence[int], int]]) -> list[int]:
    offsets = [0] * count
    for indices, first in stored:
        if first < 0:  # stored by an attempt before, and the broker has forgotten where
            raise Unavailable("Kafka has stored it, but does not say where")
        for number, index in enumerate(indices):
            offsets[index] = first + number
    return offsets
