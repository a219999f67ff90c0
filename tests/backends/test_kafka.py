"""The log on Kafka beyond what every log promises: what Kafka may do that a file does not."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from svc.backends.kafka_log import open_kafka_log
from svc.kernel import addresses
from svc.kernel.addresses import Address
from svc.kernel.errors import StartError, Unavailable
from svc.kernel.eventlog import ACCEPTED, DEAD_LETTERS, EVENTS, Entry, EventLog
from tests.backends.kafka import administering, nothing_left, place, remove_topics

SECONDS = 30


@pytest.fixture
async def address() -> AsyncIterator[Address]:
    made = place("kafka")
    yield made
    await remove_topics(made)


@pytest.fixture
async def log(address: Address) -> AsyncIterator[EventLog]:
    async with open_kafka_log(address) as opened:
        await opened.ensure(2)
        yield opened


def entries(count: int, partition: int = 0) -> list[Entry]:
    return [Entry(partition, "", str(number).encode()) for number in range(count)]


async def settings(address: Address, topic: str) -> dict[str, str]:
    async with administering(address) as admin:
        (answer,) = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, f"{address.name}.{topic}", None)]
        )
        return {name: value for name, value, *_ in answer.resources[0][4]}


@pytest.mark.real
async def test_time_is_the_brokers(log: EventLog, address: Address):
    """Whatever a producer says (protocol L4)."""
    producer = AIOKafkaProducer(bootstrap_servers=address.host_ports())
    await producer.start()
    await producer.send_and_wait(f"{address.name}.{ACCEPTED}", b"value", partition=0, timestamp_ms=1)
    await producer.stop()
    (found,) = await log.read(ACCEPTED, 0, 0, 1)
    assert found.appended_us > 10**15
    assert found.key == ""


@pytest.mark.real
async def test_topics_are_kept_as_promised(log: EventLog, address: Address):
    """A week; dead letters for ever."""
    for topic, kept in ((ACCEPTED, str(7 * 86_400_000)), (EVENTS, str(7 * 86_400_000)), (DEAD_LETTERS, "-1")):
        found = await settings(address, topic)
        assert found["retention.ms"] == kept
        assert found["message.timestamp.type"] == "LogAppendTime"
        assert found["cleanup.policy"] == "delete"
        assert found["unclean.leader.election.enable"] == "false"


@pytest.mark.real
async def test_several_may_make_the_topics_at_once(address: Address):
    """Processes of one installation start together."""
    async with open_kafka_log(address) as one, open_kafka_log(address) as other:
        await asyncio.gather(one.ensure(3), other.ensure(3), one.ensure(3))
        await asyncio.gather(one.ensure(5), other.ensure(6), one.ensure(5))
        assert list(await other.append(ACCEPTED, [Entry(5, "", b"")])) == [0]


@pytest.mark.real
async def test_a_topic_with_the_time_of_senders_is_refused(address: Address):
    """An operator has made it; the text says what to change."""
    async with administering(address) as admin:
        other = {"message.timestamp.type": "CreateTime"}
        await admin.create_topics([NewTopic(f"{address.name}.{EVENTS}", 1, 1, topic_configs=other)])
    async with open_kafka_log(address) as log:
        with pytest.raises(StartError, match=r"conversation.events has .*=CreateTime: it must be LogAppendTime"):
            await log.ensure(1)


@pytest.mark.real
async def test_more_replicas_than_brokers_are_refused(address: Address):
    """The text says what to do."""
    many = Address(address.hosts, address.name, options={"replication": "30"})
    async with open_kafka_log(many) as log:
        with pytest.raises(StartError, match=r"30.* brokers.*\?replication="):
            await log.ensure(1)


@pytest.mark.real
async def test_what_was_removed_as_too_old_is_passed_over(log: EventLog, address: Address):
    """Reading from below the oldest entry begins there."""
    await log.append(ACCEPTED, entries(6))
    async with administering(address) as admin:
        await admin.delete_records({TopicPartition(f"{address.name}.{ACCEPTED}", 0): RecordsToDelete(4)})
    consumer = await log.consume(ACCEPTED, {0: 1})
    async with asyncio.timeout(SECONDS):
        assert [entry.offset for entry in await consumer.fetch(10)] == [4, 5]
    await consumer.close()
    assert [entry.offset for entry in await log.read(ACCEPTED, 0, 0, 10)] == [4, 5]
    assert await log.end_offsets(ACCEPTED) == {0: 6}


@pytest.mark.real
async def test_a_log_that_ends_before_what_was_read_is_not_read_from_elsewhere(log: EventLog, address: Address):
    """It was cut, or made anew (protocol T4): its owner finds out where it ends now. Other partitions go on meanwhile."""
    await log.append(ACCEPTED, [*entries(2), *entries(3, partition=1)])
    assert await log.end_offsets(ACCEPTED) == {0: 2, 1: 3}
    consumer = await log.consume(ACCEPTED, {0: 5})
    async with asyncio.timeout(SECONDS):
        for _ in range(2):
            with pytest.raises(Unavailable, match="partition 0 ends before 5"):
                await consumer.fetch(10)
    consumer.drop(0)
    await consumer.take(1, 1)
    async with asyncio.timeout(SECONDS):
        assert [entry.offset for entry in await consumer.fetch(10)] == [1, 2]
    await consumer.take(0, 2)
    await log.append(ACCEPTED, entries(1))
    async with asyncio.timeout(SECONDS):
        assert [(entry.partition, entry.offset) for entry in await consumer.fetch(10)] == [(0, 2)]
    await consumer.close()


@pytest.mark.real
async def test_large_entries_and_many_bytes_pass(log: EventLog):
    """An announcement may have half a megabyte; more than one write holds is several, in order."""
    values = [bytes([number]) * 500_000 for number in range(5)]
    offsets = await log.append(EVENTS, [Entry(0, "", value) for value in values])
    assert list(offsets) == [0, 1, 2, 3, 4]
    consumer = await log.consume(EVENTS, {0: 0})
    found: list[bytes] = []
    async with asyncio.timeout(SECONDS):
        while len(found) < len(values):
            found += [entry.value for entry in await consumer.fetch(2)]
    assert found == values
    await consumer.close()


@pytest.mark.real
async def test_a_partition_that_is_not_there_is_not_appended_to(log: EventLog):
    """And those that are go on."""
    with pytest.raises(Unavailable, match="has no partition 7"):
        await log.append(ACCEPTED, entries(1, partition=7))
    async with asyncio.timeout(SECONDS):
        assert list(await log.append(ACCEPTED, entries(1))) == [0]


@pytest.mark.parametrize("answers", ["refuses", "hangs"])
async def test_without_kafka_the_start_says_what_to_do(answers: str):
    """Nobody listens; somebody does, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if answers == "refuses":
            server.close()
        async with nothing_left():
            with pytest.raises(StartError, match=rf"127.0.0.1:{port}.*; start it, or correct STONECHAT_KAFKA"):
                async with open_kafka_log(addresses.parse(addresses.KAFKA, f"kafka://127.0.0.1:{port}")):
                    pass
