"""Appending to Kafka: idempotent, by all in-sync replicas, in the order given.

After anything that went wrong the producer is made anew. Its sequence numbers may have a gap (aiokafka #1017), and what waits
in it must not be sent behind the back of who was told that the outcome is unknown. What was sent already may still be stored:
keys catch that.
"""

import asyncio
import logging
import time
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from svc.backends.kafka import CALL_SECONDS, shown, translated
from svc.backends.kafka_batches import Batches, Stored
from svc.kernel.addresses import Address
from svc.kernel.clock import Backoff
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import Entry

log = logging.getLogger(__name__)

# What may wait to be stored at a time; more is refused at once.
_IN_FLIGHT_BYTES = 32 << 20


class Producer:
    """One producer after the other. `run` makes them, for as long as it is not cancelled."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._producer: Batches | None = None
        self._ready = asyncio.Event()
        self._broken = asyncio.Event()
        self._deadlines: set[asyncio.Timeout] = set()  # of the appends under way
        self._in_flight = 0
        self._down_since: float | None = None
        self._in_trouble = False

    async def append(self, topic: str, entries: Sequence[Entry]) -> Stored:
        """Store entries. Raises Unavailable: the outcome is unknown."""
        size = sum(len(entry.value) for entry in entries)
        if self._in_flight and self._in_flight + size > _IN_FLIGHT_BYTES:
            raise Unavailable("Kafka does not keep up: come back later", retry_after=1.0)
        if self._down_since is not None and time.monotonic() - self._down_since > CALL_SECONDS:
            raise Unavailable("Kafka does not answer", retry_after=1.0)  # nobody waits for what was away for long
        self._in_flight += size
        try:
            with translated("stored it"):
                stored = await self._append(topic, entries)
        except Unavailable as error:
            self._tell_trouble(error.message)
            raise
        finally:
            self._in_flight -= size
        if self._in_trouble:
            self._in_trouble = False
            log.warning("appending to Kafka again")
        return stored

    async def _append(self, topic: str, entries: Sequence[Entry]) -> Stored:
        producer: Batches | None = None
        deadline = asyncio.timeout(CALL_SECONDS)
        try:
            async with deadline:
                while (producer := self._producer) is None:
                    await self._ready.wait()
                self._deadlines.add(deadline)
                try:
                    return await producer.append(topic, entries)
                finally:
                    self._deadlines.discard(deadline)
        except (TimeoutError, KafkaError, OSError):
            self._give_up(producer)
            raise

    async def run(self) -> None:
        """Make a producer whenever there is none, until cancelled."""
        backoff = Backoff(base=0.05, cap=1.0)
        while True:
            producer = Batches(self._address)
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    await producer.start()
                backoff.reset()
                await self._serve(producer)
            except (TimeoutError, KafkaError, OSError) as error:
                self._down_since = self._down_since or time.monotonic()
                self._tell_trouble(shown(error))
                await asyncio.sleep(backoff.next_delay())
            finally:
                await producer.stop()

    async def _serve(self, producer: Batches) -> None:
        """Appends go to this producer until one fails."""
        self._down_since = None
        self._broken.clear()
        self._producer = producer
        self._ready.set()
        try:
            await self._broken.wait()
        finally:
            self._give_up(producer)

    def _give_up(self, producer: Batches | None) -> None:
        """It has failed, and so have all appends that are under way: the next one does not store them."""
        if producer is None or producer is not self._producer:
            return
        self._producer = None
        self._ready.clear()
        self._broken.set()
        now = asyncio.get_running_loop().time()
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(now)

    def _tell_trouble(self, trouble: str) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            log.error("cannot append to Kafka", extra={"error": trouble})
