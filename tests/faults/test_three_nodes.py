"""Kafka and Cassandra of three nodes each, of which one is killed or hangs under load: service goes on, and nothing shows.

One start of all of them serves the whole module. Replicas get no hints: what one did not hear it does not know.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from svc.kernel import addresses
from tests import real
from tests.faults.brokers import in_sync, leads_most
from tests.faults.installation import Installation
from tests.faults.load import Load, load
from tests.faults.recovery import RECOVERIES
from tests.faults.server import until
from tests.faults.verdict import verified

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SERVICES = {
    "kafka": "kafka3",
    "cassandra": "cassandra3",
    "mysql": "mariadb",
    "redis": "redis",
    "zookeeper": "zookeeper",
}
"""Setting → who serves it."""
HUNG_SECONDS = 15.0
"""Longer than it takes the other nodes to hold one for dead."""


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Backends]:
    made = real.Backends(
        tmp_path_factory.mktemp("three"), CASSANDRA_HINTS="false", CASSANDRA_HEAP="448", KAFKA_HEAP="256"
    )
    try:
        asyncio.run(made.start(*SERVICES.values()))
        yield made
    finally:
        asyncio.run(made.wipe(*SERVICES.values()))


@pytest.fixture
def installation(backends: real.Backends, tmp_path: Path) -> Iterator[Installation]:
    name = real.unique("three")
    made = Installation(tmp_path, {setting: backends.address(who, name) for setting, who in SERVICES.items()})
    yield made
    made.discard()


async def killed(backends: real.Backends, node: str, talk: Load) -> None:
    """SIGKILL; it is started again when everybody was served without it."""
    fault = f"{node} killed"
    with RECOVERIES.gap(talk, fault):
        await backends.kill(node)
        await RECOVERIES.measure(talk, fault)
        await talk.more(200)
    with RECOVERIES.gap(talk, f"{node} started again"):
        await backends.start(node)
        await talk.more(200)


async def hung(backends: real.Backends, node: str, talk: Load) -> None:
    """SIGSTOP for longer than the others take to notice."""
    fault = f"{node} hangs"
    with RECOVERIES.gap(talk, fault):
        await backends.pause(node)
        await RECOVERIES.measure(talk, fault)
        await asyncio.sleep(HUNG_SECONDS)  # the fault itself
        await talk.more(200)
    with RECOVERIES.gap(talk, f"{node} goes on"):
        await backends.resume(node)
        await talk.more(200)


async def test_one_of_three_nodes_is_killed_and_one_hangs(backends: real.Backends, installation: Installation):
    """Of Cassandra, then of Kafka, there the one that leads most: two of three are a quorum."""
    kafka = addresses.parse(addresses.KAFKA, installation.settings["KAFKA"])
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        await killed(backends, "cassandra3-2", talk)
        await hung(backends, "cassandra3-3", talk)
        for breaks in (killed, hung):
            # The one before must have caught up: without it two would be missing.
            await until(lambda: in_sync(kafka), "all replicas of all partitions are in sync")
            await breaks(backends, f"kafka3-{await leads_most(kafka)}", talk)
        await until(lambda: in_sync(kafka), "all replicas of all partitions are in sync")
        await talk.more(100)
        await verified(installation, talk, "one of three nodes killed, one hung, of Cassandra and of Kafka")
