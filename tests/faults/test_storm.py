"""Fault test 11 of the core protocol: everybody comes and goes on the same conversations while relay streams are cut, queues
overflow and owners change. Whatever is not pushed is pulled, and nothing is pushed that cannot be fetched."""

import asyncio
import random
import signal
import time
from functools import partial

import pytest

from tests.faults.installation import Installation
from tests.faults.load import Load, load
from tests.faults.recovery import RECOVERIES
from tests.faults.stormy import StormyClient
from tests.faults.verdict import verified

pytestmark = [pytest.mark.real, pytest.mark.timeout(400)]

SEED = 11
PAUSE_SECONDS = 8.0
"""Longer than a session with ZooKeeper."""


async def owner_changes(installation: Installation, talk: Load, dice: random.Random, how: str) -> None:
    """Whoever owns one of the partitions is killed, told to stop, or stands still, and comes back."""
    address = dice.choice(sorted((await installation.owners()).values()))
    owner = next(server for server in installation.serving("delivery") if server.url == address)
    recovered = asyncio.create_task(RECOVERIES.measure(talk, f"11: in the storm an owner is {how}"))
    if how == "killed":
        owner.kill_group()
        await owner.ended()
        await owner.start()
    elif how == "told to stop":
        assert await owner.stop() == 0
        await owner.start()
    else:
        owner.signal(signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)  # the fault itself
        owner.signal(signal.SIGCONT)
    await recovered
    await installation.serves()
    await talk.more(300)


async def test_11_a_storm_of_subscriptions(installation: Installation):
    """Pushed + pulled = all, for those who stay and for those who come and go."""
    dice = random.Random(SEED)
    for number in (1, 2):
        installation[f"messaging-{number}"].rig = f"cut 3.0 {SEED}{number}"
        installation[f"delivery-{number}"].rig = f"narrow 0.002 {SEED}{number}"
    for server in installation.processes.values():
        server.settings["SESSION_QUEUE_BYTES"] = "16384"
    await installation.start()
    async with load(installation) as talk:
        talk.start(dense=True)
        began, before = time.monotonic(), talk.acknowledged
        storm = [
            await talk.connect(f"stormy{number}", account, partial(StormyClient, seed=f"{SEED} {number}"))
            for number, account in enumerate(talk.accounts)
        ]
        await talk.more(300)
        for how in dice.sample(faults := ("killed", "told to stop", "standing still"), len(faults)):
            await owner_changes(installation, talk, dice, how)
        rate = (talk.acknowledged - before) / (time.monotonic() - began)
        for one in storm:
            one.calm = True
        for name, happened in (("messaging", "a relay stream is cut"), ("delivery", "a relay queue overflows")):
            assert all(server.said(happened) for server in installation.serving(name)), happened
        await verified(
            installation,
            talk,
            f"a storm at {rate:.0f} messages/s; streams {sum(talk.streams())};"
            f" looked up {sum(one.looked_up for one in storm)}",
        )
        assert all(one.looked_up for one in storm)
