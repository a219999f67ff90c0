"""What processes agree on, as several of them see it, by the name of who serves it."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from svc.backends.zookeeper import ZooKeeper, open_zookeeper
from svc.backends.zookeeper_coordination import open_coordination
from svc.backends.zookeeper_registry import open_registry
from svc.kernel import addresses
from svc.kernel.coordination import Coordination
from svc.kernel.registry import ProcessRegistry, Registry
from tests.real import address

PARTITIONS = 5
SERVICES = ("delivery", "messaging")

OpenCoordination = Callable[[], AbstractAsyncContextManager[Coordination]]
OpenRegistry = Callable[[], AbstractAsyncContextManager[Registry]]


@dataclass
class Ensemble:
    """One installation on the running ZooKeeper. Each `session` is what a process has."""

    url: str

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ZooKeeper]:
        async with open_zookeeper(addresses.parse(addresses.ZOOKEEPER, self.url)) as zookeeper:
            yield zookeeper

    @asynccontextmanager
    async def coordination(self) -> AsyncIterator[Coordination]:
        async with self.session() as zookeeper, open_coordination(zookeeper, PARTITIONS) as opened:
            yield opened

    @asynccontextmanager
    async def registry(self) -> AsyncIterator[Registry]:
        async with self.session() as zookeeper, open_registry(zookeeper, SERVICES) as opened:
            yield opened

    def remove(self) -> None:
        """Everything of it. Blocks."""
        parsed = addresses.parse(addresses.ZOOKEEPER, self.url)
        client = KazooClient(",".join(parsed.host_ports()))
        client.start()
        with suppress(NoNodeError):
            client.delete(f"/{parsed.name}", recursive=True)
        client.stop()
        client.close()


def new_ensemble() -> Ensemble:
    """An installation that has nothing yet."""
    return Ensemble(address("zookeeper", f"test-{uuid.uuid4().hex[:12]}"))


def end_session(zookeeper: ZooKeeper) -> None:
    """Make the ensemble end a session as if its process had been silent for too long: a client that takes the session over
    and closes it. Blocks."""
    client = zookeeper._client
    thief = KazooClient(
        client.hosts and ",".join(f"{host}:{port}" for host, port in client.hosts), client_id=client.client_id
    )
    thief.start()
    thief.stop()
    thief.close()


def process_registry(folder: Path) -> OpenRegistry:
    shared = ProcessRegistry()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Registry]:
        yield shared

    return opened


REGISTRIES = ["process", pytest.param("zookeeper", marks=pytest.mark.real)]
COORDINATORS = [pytest.param("zookeeper", marks=pytest.mark.real)]
