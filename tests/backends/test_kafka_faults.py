"""A Kafka of the tests' own that hangs, dies and comes back: nothing acknowledged is lost, and all goes on without hands."""

import asyncio
import logging
from collections.abc import Iterator

import pytest

from svc.backends.kafka_log import open_kafka_log
from svc.kernel import addresses
from svc.kernel.addresses import Address
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import ACCEPTED, Consumer, Entry, EventLog
from svc.kernel.lifecycle import owned
from tests import real
from tests.backends.kafka import nothing_left

pytestmark = pytest.mark.real

SECONDS = 60  # for what must come; a busy machine may take long
AWAY_SECONDS = 10


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Backends]:
    backends = real.Backends(tmp_path_factory.mktemp("kafka"))
    asyncio.run(backends.start("kafka"))
    yield backends
    asyncio.run(backends.wipe("kafka"))


@pytest.fixture
def address(kafka: real.Backends) -> Address:
    return addresses.parse(addresses.KAFKA, kafka.address("kafka", real.unique("faults")))


class Writer:
    """Appends 0, 1, 2 … to one partition, each until it is acknowledged."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.acknowledged = 0
        self.failures = 0

    async def run(self) -> None:
        while True:
            try:
                await self._log.append(ACCEPTED, [Entry(0, "", str(self.acknowledged).encode())])
                self.acknowledged += 1
            except Unavailable:
                self.failures += 1
                await asyncio.sleep(0.05)

    async def goes_on(self) -> None:
        """Wait for another acknowledgement."""
        before = self.acknowledged
        async with asyncio.timeout(SECONDS):
            while self.acknowledged == before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def fails(self) -> None:
        """Wait for a failure."""
        async with asyncio.timeout(SECONDS):
            while not self.failures:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


class Reader:
    """Everything that comes, each number once: a repeat may be stored again."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.offset = 0
        self.seen: dict[int, None] = {}

    async def run(self) -> None:
        while True:
            for entry in await self._consumer.fetch(100):
                assert entry.offset == self.offset
                self.offset += 1
                self.seen[int(entry.value)] = None

    async def has(self, count: int) -> None:
        """Wait until it has seen so many."""
        async with asyncio.timeout(SECONDS):
            while len(self.seen) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("fault", ["hangs", "dies"])
async def test_a_broker_that_is_away_for_a_while(
    kafka: real.Backends, address: Address, fault: str, caplog: pytest.LogCaptureFixture
):
    """Appends are refused meanwhile, reads wait; then both go on, in order, without hands and without noise."""
    caplog.set_level(logging.INFO)
    async with nothing_left(), open_kafka_log(address) as log:
        await log.ensure(1)
        consumer = await log.consume(ACCEPTED, {0: 0})
        writer, reader = Writer(log), Reader(consumer)
        failures: list[BaseException] = []
        async with owned(writer.run(), "writer", failures.append), owned(reader.run(), "reader", failures.append):
            await writer.goes_on()
            await (kafka.pause("kafka") if fault == "hangs" else kafka.kill("kafka"))
            await writer.fails()
            with pytest.raises(Unavailable):
                await log.end_offsets(ACCEPTED)
            await asyncio.sleep(AWAY_SECONDS)
            await (kafka.resume("kafka") if fault == "hangs" else kafka.start("kafka"))
            await writer.goes_on()
            await reader.has(writer.acknowledged)
            await log.commit("group", ACCEPTED, {0: writer.acknowledged})
        await reader_catches_up(reader, log)
        await consumer.close()
        assert not failures
        assert list(reader.seen) == sorted(reader.seen) == list(range(len(reader.seen)))
        assert len(reader.seen) >= writer.acknowledged
    told = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert sorted(told) == [
        "appending to Kafka again",
        "cannot append to Kafka",
        "cannot read Kafka: waiting for it",
        "reading Kafka again",
    ]


async def reader_catches_up(reader: Reader, log: EventLog) -> None:
    """What is in the log and was not read yet."""
    for entry in await log.read(ACCEPTED, 0, reader.offset, 100_000):
        reader.seen[int(entry.value)] = None


async def test_a_coordinator_that_loads_is_not_taken_for_a_group_without_offsets(
    kafka: real.Backends, address: Address
):
    """Right after a start it answers without any: an owner would read everything from the beginning."""
    async with open_kafka_log(address) as log:
        await log.ensure(1)
        async with asyncio.timeout(SECONDS):
            await log.append(ACCEPTED, [Entry(0, "", b"") for _ in range(7)])
            for group in range(20):
                await log.commit(f"group {group}", ACCEPTED, {0: 7})
        await kafka.kill("kafka")
        starting = asyncio.ensure_future(kafka.start("kafka"))
        answers: list[dict[int, int]] = []
        async with asyncio.timeout(SECONDS):
            while len(answers) < 40:
                try:
                    answers.append(await log.end_offsets(ACCEPTED))
                    answers.append(await log.committed(f"group {len(answers) // 2}", ACCEPTED))
                except Unavailable:
                    await asyncio.sleep(0)
        await starting
        assert answers == [{0: 7}] * len(answers)


async def test_an_append_that_waits_too_long_is_not_stored_by_the_next_producer(kafka: real.Backends, address: Address):
    """Its caller was told that the outcome is unknown; what had not been sent is never sent."""
    async with nothing_left(), open_kafka_log(address) as log:
        await log.ensure(1)
        await log.append(ACCEPTED, [Entry(0, "", b"first")])
        await kafka.kill("kafka")
        outcomes = await asyncio.gather(
            *(log.append(ACCEPTED, [Entry(0, "", b"lost")]) for _ in range(20)), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [Unavailable] * 20
        await kafka.start("kafka")
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    await log.append(ACCEPTED, [Entry(0, "", b"last")])
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)
            assert [entry.value for entry in await log.read(ACCEPTED, 0, 0, 100)] == [b"first", b"last"]
