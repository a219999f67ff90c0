"""Fault test 9 of the core protocol: the log loses its tail, and later all of it; what was acknowledged stays."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from svc.backends.kafka import named
from svc.kernel import addresses
from svc.kernel.eventlog import ACCEPTED
from tests import real
from tests.backends.kafka import administering
from tests.faults.installation import BACK_ENDS, Installation
from tests.faults.load import Load, load
from tests.faults.log_files import cut
from tests.faults.recovery import RECOVERIES
from tests.faults.server import until
from tests.faults.verdict import verified
from tests.real import Backends, private_backends

pytestmark = [pytest.mark.real, pytest.mark.timeout(500)]

MESSAGES = 1500
"""So many, and nine tenths are cut: what is written meanwhile does not fill the log again before anybody looks (T4)."""


@asynccontextmanager
async def on_a_log_of_its_own(folder: Path) -> AsyncIterator[tuple[Installation, Backends]]:
    """An installation whose broker is its own; nothing is started but the broker."""
    name = real.unique("faults")
    async with private_backends(folder / "broker", "kafka") as broker:
        urls = {scheme: real.address(scheme, name) for scheme in BACK_ENDS if scheme != "kafka"}
        installation = Installation(folder, urls | {"kafka": broker.address("kafka", name)})
        try:
            yield installation, broker
        finally:
            installation.discard()
            await broker.start("kafka")
            await installation.remove()


async def incidents(installation: Installation) -> int:
    """How often the log was told to be another one; 1 for the first log."""
    return (await installation.shards()).incident


def not_begun(talk: Load) -> set[str]:
    """Groups that were made and of which nobody has seen an event: their records may be in the log alone."""
    made = set(talk.groups_made.values())
    return {group for group in made if not any(client.follower.knows({group: 1}) for client in talk.clients)}


async def test_9_the_log_is_cut_and_later_made_anew(tmp_path: Path):
    """Offsets are used again: it is noticed and told, a new era begins, nothing new is taken for what is known. (A group
    that was made just before may never begin: ARCHITECTURE, known weaknesses.)"""
    async with on_a_log_of_its_own(tmp_path) as (installation, broker):
        await installation.start()
        topic = named(addresses.parse(addresses.KAFKA, installation.settings["KAFKA"]), ACCEPTED)
        async with load(installation) as talk:
            talk.start()
            await talk.more(MESSAGES)
            assert await incidents(installation) == 1
            await broker.kill("kafka")
            assert cut(broker.data("kafka"), topic, 0.1) > 100
            unlogged = not_begun(talk)
            await broker.start("kafka")
            await RECOVERIES.measure(talk, "9: the broker came back without the tail of the log")
            await until(lambda: installation.said("a new era begins"), "the cut was noticed")
            assert await incidents(installation) == 2
            await talk.more(300)

            assert await installation.stop() == 0
            unlogged |= not_begun(talk)  # the groups may have left after the owners
            async with administering(addresses.parse(addresses.KAFKA, installation.settings["KAFKA"])) as admin:
                await admin.delete_topics([topic])
            await installation.start()
            await RECOVERIES.measure(talk, "9: everything began anew with an empty log")
            assert await incidents(installation) > 2
            await talk.more(300)
            await installation.serves()
            await verified(installation, talk, "the log was cut, and later made anew", unlogged)
