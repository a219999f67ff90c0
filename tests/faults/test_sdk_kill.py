"""The client library on a product that is killed again and again: any process, at any moment, the clients' own included."""

import random
from collections import Counter

import pytest

from stonechat_client import backoff
from tests.faults.crowd import crowd
from tests.faults.server import alive, until
from tests.faults.verdict import told, verify

KILLS = 50
SEED = 20261125
WHO = ("python", "envoy", "group", "wanderer")


@pytest.mark.timeout(900)
async def test_fifty_kills_of_any_process_lose_double_and_reorder_nothing(new_server, tmp_path, monkeypatch):
    """SIGKILL of the Python process, of Envoy alone, of the whole process group, or of a client with its cache on the disk.
    Then `stonechat verify` holds every client's ledger against what is stored."""
    monkeypatch.setattr(backoff, "BASE_SECONDS", 0.05)
    server, ledgers, rng = new_server(ACCESS_TOKEN_SECONDS="15"), tmp_path / "ledgers", random.Random(SEED)
    ledgers.mkdir()
    await server.start()
    async with crowd(server.url, ledgers) as talk:
        talk.start()
        whom = [WHO[number % len(WHO)] for number in range(KILLS)]
        rng.shuffle(whom)
        for who in whom:
            await talk.more(rng.randrange(1, 150))
            await _kill(server, talk, who)
        await talk.more(100)
        await talk.settle()
        assert [wrong for person in talk.people for wrong in person.wrong] == []
    verdict = await verify(server, ledgers)
    print(f"\n{KILLS} kills (seed {SEED}): {dict(Counter(whom))}; {told(verdict)}")
    print(f"events {verdict['events']} acknowledged {verdict['acknowledged']} seen {verdict['seen']}")
    assert verdict["clean"], told(verdict)
    assert verdict["acknowledged"] >= talk.acknowledged
    assert talk.wanderer.kills == whom.count("wanderer")


async def _kill(server, talk, who):
    envoy = server.envoy()
    match who:
        case "wanderer":
            await talk.wanderer.kill()
        case "envoy":
            if envoy is not None:
                server.kill(envoy)
                await until(lambda: not alive(envoy), "Envoy is gone")
        case "python":
            server.kill(server.pid)
            await server.gone(envoy)
            await server.start()
        case "group":
            server.kill_group()
            await server.gone(envoy)
            await server.start()
