"""Fault test 5 of the core protocol: of a round over the edge of a bucket only what lies above it can be stored."""

import asyncio
import signal
from collections.abc import Sequence

import pytest

from svc.backends.kafka_log import open_kafka_log
from svc.delivery.model import BUCKET_EVENTS
from svc.kernel import addresses
from svc.kernel.eventlog import ACCEPTED, EventLog
from tests.backends import cassandra as keyspaces
from tests.faults.clients import Client, list_events, rest
from tests.faults.installation import Installation
from tests.faults.load import Load, load
from tests.faults.recovery import RECOVERIES
from tests.faults.server import until
from tests.faults.verdict import verified

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]


async def test_5_only_the_write_to_the_older_bucket_fails(installation: Installation):
    """A round crosses the edge of a bucket; its owner dies having tried to store it, but for what belongs below the edge."""
    await installation.start()
    async with load(installation) as talk, open_kafka_log(kafka_of(installation)) as log:
        first, *others = talk.clients
        below = BUCKET_EVENTS - 2 - len(others) // 2
        await say(talk, talk.clients, "below", below - await newest_seq(talk))
        dying, other = installation["delivery-1"], installation["delivery-2"]
        assert await dying.stop() == 0
        dying.rig = "edge 3"
        await dying.start()
        assert await other.stop() == 0  # so that the rigged one owns everything
        assert await newest_seq(talk) == below
        before = await appended(log)
        dying.signal(signal.SIGSTOP)
        # What it had asked for is answered with the first one; all others it will find together.
        over = [asyncio.create_task(say(talk, [first], "first", 1))]
        await until(lambda: grown(log, before + 1), "the first is in the log")
        over.append(asyncio.create_task(say(talk, others, "over", len(others))))
        await until(lambda: grown(log, before + 1 + len(others)), "what goes over the edge is in the log")
        dying.signal(signal.SIGCONT)
        assert await dying.ended() == -signal.SIGKILL
        assert not await stored(installation, talk.group_id, 1), "something stands above what is not stored"
        talk.start()
        recovered = asyncio.create_task(RECOVERIES.measure(talk, "5: an owner killed at the edge of a bucket"))
        dying.rig = ""
        await asyncio.gather(dying.start(), other.start())
        await recovered
        await asyncio.gather(*over)
        await talk.more(100)
        await verified(installation, talk, "an owner killed at the edge of a bucket")


async def newest_seq(talk: Load) -> int:
    """The number of the group's newest event."""
    async with rest(talk.url) as http:
        return (await list_events(http, talk.accounts[0], talk.group_id, 0)).last_seq


async def say(talk: Load, clients: Sequence[Client], what: str, count: int) -> None:
    """Each of the clients writes its part of so many messages to the group; returns when they are acknowledged."""
    numbers = iter(range(count))

    async def write(client: Client) -> None:
        for number in numbers:
            await client.send(talk.group_id, f"{what} {number}", f"{what}-{number}")

    await asyncio.gather(*map(write, clients))


def kafka_of(installation: Installation) -> addresses.Address:
    """Where its log is."""
    return addresses.parse(addresses.KAFKA, installation.settings["KAFKA"])


async def appended(log: EventLog) -> int:
    """How many records were ever accepted."""
    return sum((await log.end_offsets(ACCEPTED)).values())


async def grown(log: EventLog, count: int) -> bool:
    """Whether so many were."""
    return await appended(log) >= count


async def stored(installation: Installation, conversation_id: str, bucket: int) -> list[tuple[object, ...]]:
    """The rows of events in a bucket."""
    place = addresses.parse(addresses.CASSANDRA, installation.settings["CASSANDRA"])
    return await keyspaces.command(
        place,
        f"SELECT lane, seq FROM {place.name}.events WHERE conversation_id = '{conversation_id}' AND bucket = {bucket}",
    )
