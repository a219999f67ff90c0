"""What tests of the log on Kafka share."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient

from svc.kernel import addresses
from svc.kernel.addresses import Address
from tests import real


def place(prefix: str) -> Address:
    """A place of its own on the Kafka that everybody uses."""
    return addresses.parse(addresses.KAFKA, real.address("kafka", real.unique(prefix)))


@asynccontextmanager
async def administering(address: Address) -> AsyncIterator[AIOKafkaAdminClient]:
    """What an operator does to a broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address.host_ports())
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def remove_topics(address: Address) -> None:
    """Everything with the name of this address."""
    async with administering(address) as admin:
        await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(f"{address.name}.")])


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """No task outlives the block, and nothing that happened in it was left for asyncio to complain about."""
    complaints: list[dict[str, Any]] = []
    loop, before = asyncio.get_running_loop(), asyncio.all_tasks()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        yield
        async with asyncio.timeout(20):
            while left := asyncio.all_tasks() - before:
                await asyncio.wait(left)
        gc.collect()
        await asyncio.sleep(0)
        assert not complaints, "\n".join(map(str, complaints))
    finally:
        loop.set_exception_handler(None)
