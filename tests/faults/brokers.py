"""What three Kafka nodes agree on: who leads, and who has everything."""

import asyncio
from collections import Counter
from typing import Any

from aiokafka.errors import KafkaError

from svc.kernel.addresses import Address
from tests.backends.kafka import administering

_ANSWER_SECONDS = 10.0


async def _topics(address: Address) -> list[Any]:
    async with asyncio.timeout(_ANSWER_SECONDS), administering(address) as admin:
        topics: list[Any] = await admin.describe_topics()
        return topics


async def leads_most(address: Address) -> int:
    """The id of the node that leads most partitions of the topics under this address."""
    own = [topic for topic in await _topics(address) if topic["topic"].startswith(f"{address.name}.")]
    leaders = Counter(partition["leader"] for topic in own for partition in topic["partitions"])
    return leaders.most_common(1)[0][0]


async def in_sync(address: Address) -> bool:
    """Whether every replica of every partition, of whatever topic, has all that was acknowledged."""
    try:
        topics = await _topics(address)
    except (KafkaError, TimeoutError):
        return False
    return all(
        partition["leader"] >= 0 and len(partition["isr"]) == len(partition["replicas"])
        for topic in topics
        for partition in topic["partitions"]
    )
