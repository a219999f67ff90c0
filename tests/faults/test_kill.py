"""The whole product is killed in mid-load, again and again. Nothing acknowledged is lost, doubled or reordered."""

import random

import pytest

from tests.faults.load import load
from tests.faults.server import until
from tests.faults.verdict import verified

KILLS = 20
SEED = 20240607


@pytest.mark.timeout(600)
async def test_twenty_kills_under_load_lose_double_and_reorder_nothing(server):
    """SIGKILL of the whole process group, Envoy included, at random points; restarted on the same folder each time. Every fifth
    start is killed too, as soon as it has an Envoy: the owner is at what the former one left, and clients come back."""
    rng = random.Random(SEED)
    await server.start()
    async with load(server) as talk:
        talk.start()
        for number in range(KILLS):
            await talk.more(rng.randrange(1, 300))
            await _killed(server)
            if number % 5 == 4:
                server.launch()
                await until(server.envoy, "the server has an Envoy")
                await _killed(server)
            await server.start()
        await talk.more(100)
        await verified(server, talk, f"kills {KILLS}, and {KILLS // 5} in mid-start (seed {SEED})")


async def _killed(server):
    envoy = server.envoy()
    assert envoy is not None
    server.kill_group()
    await server.gone(envoy)
