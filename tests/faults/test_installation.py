"""The fault tests of the core protocol on real back ends, in many processes. Each carries the number it has there; those that
need other back ends than the shared ones stand in files of their own, those that need schedules in `tests/simulation`."""

import asyncio
import signal

import pytest

from tests.faults.installation import Installation
from tests.faults.load import load
from tests.faults.recovery import RECOVERIES
from tests.faults.rigged import POINTS
from tests.faults.server import until
from tests.faults.verdict import verified

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

PAUSE_SECONDS = 15.0
"""Longer than a session with ZooKeeper, so that others take over meanwhile."""


async def test_2_an_owner_killed_at_each_point_of_a_round(installation: Installation):
    """Seq given, half of it stored, stored, relayed, announced, before the commit: another takes over, nothing shows."""
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        for number, point in enumerate(POINTS):
            name = f"delivery-{1 + number % 2}"
            owner = installation[name]
            await owner.stop()
            await installation.serves()
            owner.rig = f"die {point} 5"
            await owner.start()
            other = installation[f"delivery-{2 - number % 2}"]
            await other.stop()  # so that the rigged one owns everything
            await until(lambda owner=owner: owner.code() is not None, f"it died at: {point}")
            assert owner.code() == -signal.SIGKILL
            recovered = asyncio.create_task(RECOVERIES.measure(talk, f"2: owner killed at: {point}"))
            owner.rig = ""
            await asyncio.gather(owner.start(), other.start())
            await recovered
        await talk.more(100)
        await verified(installation, talk, f"the owner died at {len(POINTS)} points")


async def test_3_a_paused_owner_wakes_up_after_another_took_over(installation: Installation):
    """Its writes change nothing, what it relays is ignored."""
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        for name in ("delivery-1", "delivery-2"):
            paused = installation[name]
            paused.signal(signal.SIGSTOP)
            await RECOVERIES.measure(talk, "3: an owner stands still")
            await asyncio.sleep(PAUSE_SECONDS)  # the fault itself
            paused.signal(signal.SIGCONT)
            await talk.more(100)
            await installation.serves()
        await verified(installation, talk, f"two owners paused for {PAUSE_SECONDS:.0f} s")


async def test_7_growing_under_load_while_a_node_with_the_old_map_is_paused(installation: Installation):
    """5 → 8; what the node appends by its old map when it wakes up lands once, in one order."""
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        node = installation["messaging-2"]
        node.signal(signal.SIGSTOP)
        code, out, err = await installation.command("partitions", "grow", "8")
        assert code == 0, out + err
        node.signal(signal.SIGCONT)
        await talk.more(300)
        assert len(await installation.owners()) == 8
        await verified(installation, talk, "grown from 5 to 8 partitions")


async def test_15_an_owner_whose_event_loop_is_blocked(installation: Installation):
    """Its session with ZooKeeper lives on in another thread: the watchdog ends it, and others serve."""
    for name in ("delivery-1", "delivery-2"):
        installation[name].rig = "block"
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        for name in ("delivery-1", "delivery-2"):
            blocked = installation[name]
            blocked.signal(signal.SIGUSR1)
            await RECOVERIES.measure(talk, "15: the event loop of an owner is blocked")
            assert await blocked.ended() == 70
            await blocked.start()
            await installation.serves()
        await talk.more(100)
        await verified(installation, talk, "two owners blocked")


async def test_any_process_may_be_killed(installation: Installation):
    """Each of them, one after the other, under load."""
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        for name in ("messaging-1", "delivery-1", "messaging-2", "delivery-2", "front"):
            killed = installation[name]
            envoy = killed.envoy()
            killed.kill_group()
            recovered = asyncio.create_task(RECOVERIES.measure(talk, f"{name} killed and started again"))
            await killed.gone(envoy)
            await killed.start()
            await recovered
            await installation.serves()
        await talk.more(100)
        await verified(installation, talk, "each process killed")


async def test_a_rolling_restart_of_everything_under_load(installation: Installation):
    """One process after the other is told to stop, drains, and starts again: nobody misses anything."""
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        for name in ("delivery-1", "messaging-1", "delivery-2", "messaging-2", "front"):
            leaving, streams = installation[name], talk.streams()
            recovered = asyncio.create_task(RECOVERIES.measure(talk, f"{name} told to stop"))
            assert await leaving.stop() == 0, leaving.errors()
            await leaving.start()
            await recovered
            await installation.serves()
            await talk.more(50)
            assert all(now - before <= 1 for now, before in zip(talk.streams(), streams, strict=True)), name
        await talk.more(100)
        await verified(installation, talk, "everything restarted, one after the other")


async def test_what_a_registry_knows_envoy_knows(installation: Installation):
    """Instances appear in and vanish from Envoy by the registry."""
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await installation.add("messaging-3", ("messaging",)).start()
        for name in ("messaging-1", "messaging-2"):
            assert await installation[name].stop() == 0
        await talk.more(100)
        await verified(installation, talk, "two of three nodes left")
