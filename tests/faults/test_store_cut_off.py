"""Fault test 4 of the core protocol: one owner cannot reach the store, another can."""

import pytest

from tests.faults.installation import Installation
from tests.faults.load import load
from tests.faults.recovery import RECOVERIES
from tests.faults.server import until
from tests.faults.verdict import verified
from tests.faults.way import way_to

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

AWAY = 300
"""Sends that are acknowledged while one owner cannot store."""


async def nothing_parked(installation: Installation) -> None:
    code, out, err = await installation.command("dead-letter", "list")
    assert (code, out.strip()) == (0, "0 dead letters"), out + err


async def test_4_an_owner_that_cannot_store_while_another_owns(installation: Installation):
    """One owner is cut off from Cassandra with a round under way, then from ZooKeeper: it does not know that another owns, and
    repeats. When the way to the store opens it stores, relays and commits what the other one has long passed. Nothing shows."""
    async with (
        way_to(installation.settings["CASSANDRA"]) as (store, store_url),
        way_to(installation.settings["ZOOKEEPER"]) as (registry, registry_url),
    ):
        cut, other = installation["delivery-1"], installation["delivery-2"]
        cut.settings |= {"CASSANDRA": store_url, "ZOOKEEPER": registry_url}
        await installation.start()
        async with load(installation) as talk:
            talk.start()
            await talk.more(100)
            # All partitions are the one's that is going to be cut off.
            assert await other.stop() == 0
            await talk.more(50)
            await other.start()
            store.close()
            await until(lambda: cut.said("delivery waits"), "the owner repeats a write")
            registry.close()
            await RECOVERIES.measure(talk, "4: an owner reaches neither the store nor the registry")
            await talk.more(AWAY)
            await until(lambda: cut.said("all are refused at once"), "the owner has given up but for probes")
            assert not cut.said("a claim was lost")
            store.open()
            await until(lambda: cut.said("delivery goes on"), "what it repeated is stored")
            assert not cut.said("a claim was lost")
            await talk.more(100)
            registry.open()
            await until(lambda: cut.said("a claim was lost"), "it learns that another owns")
            await installation.serves()
            await talk.more(100)
            await nothing_parked(installation)
            await verified(installation, talk, "an owner could not store while another owned")
