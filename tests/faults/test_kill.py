"""The whole product is killed in mid-load, again and again. Nothing acknowledged is lost, doubled or reordered."""

import random

import pytest

from tests.faults.load import load
from tests.faults.stored import verified

KILLS = 20
SEED = 20240607


@pytest.mark.timeout(400)
async def test_twenty_kills_under_load_lose_double_and_reorder_nothing(server):
    """SIGKILL of the whole process group, Envoy included, at random points; restarted on the same folder each time."""
    rng = random.Random(SEED)
    await server.start()
    async with load(server.url) as talk:
        talk.start()
        for _ in range(KILLS):
            await talk.more(rng.randrange(1, 300))
            envoy = server.envoy()
            assert envoy is not None
            server.kill_group()
            await server.gone(envoy)
            await server.start()
        await talk.more(100)
        await verified(server, talk, f"kills {KILLS} (seed {SEED})")
