"""The topics of the log: that there are enough partitions, and that each is kept as the log promises."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidPartitionsError, TopicAlreadyExistsError, for_code

from svc.backends.kafka import ended, named, options, translated
from svc.backends.kafka_places import Places
from svc.kernel.addresses import Address
from svc.kernel.errors import StartError, Unavailable
from svc.kernel.eventlog import ACCEPTED, DEAD_LETTERS, EVENTS

TOPICS = (ACCEPTED, EVENTS, DEAD_LETTERS)
RETENTION_SECONDS = 7 * 86_400
_FOR_EVER = -1
_TIME = "message.timestamp.type"
_SETTINGS = {
    # Time is the log's own, never that of a node (protocol L4).
    _TIME: "LogAppendTime",
    "cleanup.policy": "delete",
    # A replica that has not everything may not lead: what was acknowledged would be gone.
    "unclean.leader.election.enable": "false",
}
_SECONDS = 20.0
_LOOK_SECONDS = 0.05


async def ensure(address: Address, places: Places, partitions: int) -> None:
    """Every topic has at least so many partitions, on the replicas that the address asks for. Raises Unavailable, and
    StartError when Kafka refuses for good."""
    admin = AIOKafkaAdminClient(**options(address))
    with translated("made the topics"):
        async with asyncio.timeout(_SECONDS):
            try:
                await admin.start()
                there = set(await admin.list_topics())
                for topic in (named(address, topic) for topic in TOPICS):
                    if topic not in there:
                        await _create(admin, topic, partitions, int(address.option("replication", "3")))
                    await _grow(admin, places, topic, partitions)
                    while not await _has_time_of_log(admin, topic):  # noqa: ASYNC110 - the brokers tell each other
                        await asyncio.sleep(_LOOK_SECONDS)
            finally:
                await ended(admin.close())


async def _create(admin: AIOKafkaAdminClient, topic: str, partitions: int, replicas: int) -> None:
    kept = _FOR_EVER if topic.endswith(DEAD_LETTERS) else RETENTION_SECONDS * 1000
    settings = _SETTINGS | {"retention.ms": str(kept), "min.insync.replicas": str((replicas + 1) // 2)}
    answer = await admin.create_topics([NewTopic(topic, partitions, replicas, topic_configs=settings)])
    for _, code, *text in answer.topic_errors:
        error = for_code(code)
        if code == 0 or error is TopicAlreadyExistsError:
            continue
        if error.retriable:
            raise Unavailable(f"Kafka does not make {topic} now: {error.__name__}")
        raise StartError(
            f"Kafka does not make the topic {topic}: {text[0] if text else error.__name__}; start more brokers, make the topic"
            f" yourself ({partitions} partitions, {_shown(settings)}), or change ?replication= in STONECHAT_KAFKA"
        )


async def _has_time_of_log(admin: AIOKafkaAdminClient, topic: str) -> bool:
    """Whether the topic's settings are known, and right: one that somebody else made may keep the time of the sender."""
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {_TIME: None})])
    ((code, _, _, _, settings),) = answer.resources
    error = for_code(code)
    if code and error.retriable:
        return False
    if code:
        raise error(f"settings of {topic}")
    found = {name: value for name, value, *_ in settings}.get(_TIME)
    if found != _SETTINGS[_TIME]:
        raise StartError(
            f"Kafka's topic {topic} has {_TIME}={found}: it must be {_SETTINGS[_TIME]}; set it before anything is sent"
            " (kafka-configs.sh --alter)"
        )
    return True


async def _grow(admin: AIOKafkaAdminClient, places: Places, topic: str, partitions: int) -> None:
    if len(await places.partitions(topic)) < partitions:
        with suppress(InvalidPartitionsError):  # somebody else was faster; when it stays too few, the deadline tells
            await admin.create_partitions({topic: NewPartitions(partitions)})
        while len(await places.partitions(topic)) < partitions:  # noqa: ASYNC110 - the brokers tell each other
            await asyncio.sleep(_LOOK_SECONDS)


def _shown(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
