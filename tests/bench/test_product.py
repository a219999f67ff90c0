"""Every mode, small, against the real product: what was sent is accounted for to the last message."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from bench import table, unruly
from bench.accounts import Registrar
from bench.crowd import Terms
from bench.modes import group, idle, kill, ladder, storm
from bench.server import Server, ServerFailed, serving

PARTS = {"server", "envoy"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The product on a data folder that was fresh for the first test."""
    with asyncio.Runner() as runner:
        running = serving(None, None)
        yield runner.run(_entered(running))
        runner.run(_left(running))


async def _entered(running: AbstractAsyncContextManager[Server]) -> Server:
    return await running.__aenter__()


async def _left(running: AbstractAsyncContextManager[Server]) -> None:
    await running.__aexit__(None, None, None)


async def results_of(run: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """All of them; each can be printed."""
    results = [result async for result in run]
    assert all(table.line(result) for result in results)
    return results


def assert_accounted_for(result: dict[str, Any], fan_out: int) -> None:
    """Nothing is missing, however it came; what is timed is what was sent in the window."""
    assert result["sent"] > 0
    assert result["acked"] == result["sent"]
    assert (result["unanswered"], result["refused"]) == (0, {})
    assert result["due"] == result["sent"] * fan_out
    assert result["delivered"] + result["missing"] == result["due"]
    assert (result["lost"], result["wrong"]) == (0, 0)
    assert result["delivered_in_window"] <= result["sent_in_window"] * fan_out < result["due"]


async def test_the_ladder_tries_every_rate_and_counts_every_message(server):
    terms = Terms(processes=2, clients=8, seconds=1.0, warm_up=0.5)
    results = await results_of(ladder.run(server, terms, (40.0, 80.0), keep_going=True))
    assert list(dict.fromkeys(result["rate"] for result in results)) == [40.0, 80.0]
    for result in results:
        assert_accounted_for(result, fan_out=1)
        assert (result["clients"], result["missing"], result["endings"]) == (8, 0, {})
        assert result["delivered_in_window"] == result["sent_in_window"]
        assert set(result["cpu"]) == PARTS | {"generator"}
        assert all(used["us_per_message"] > 0 for used in result["cpu"].values())
        latency = list(result["latency_ms"].values())
        assert latency == sorted(latency)


async def test_everybody_in_a_group_gets_every_message_of_the_others(server):
    (result,) = await results_of(group.run(server, Terms(processes=2, clients=12, seconds=1.0, warm_up=0.5), rate=20.0))
    assert_accounted_for(result, fan_out=11)
    assert result["missing"] == 0
    assert result["deliveries_per_second"] == result["sent_in_window"] * 11


async def test_idle_streams_cost_memory_in_every_process(server):
    (result,) = await results_of(idle.run(server, Terms(clients=40)))
    assert result["streams"] == 40
    assert set(result["memory"]) == PARTS
    assert all(of["pss_mb_with"] > 1 for of in result["memory"].values())


async def test_after_a_storm_all_are_back(server):
    (result,) = await results_of(storm.run(server, Terms(processes=2, clients=28)))
    assert result["streams"] == 28
    assert result["back_ms"]["max"] == pytest.approx(result["all_back_s"] * 1000)


async def test_after_a_kill_all_are_back_and_nothing_is_lost(server):
    before = server.parts()
    (result,) = await results_of(kill.run(server, Terms(clients=8, seconds=6.0, warm_up=0.5), rate=40.0))
    assert_accounted_for(result, fan_out=1)
    assert result["clients"] == 8
    assert sum(result["endings"].values()) >= 8
    assert set(server.parts().values()).isdisjoint(before.values())


async def test_visitors_leave_in_every_way_and_the_silent_are_shown_out(server):
    kinds = (unruly.leaves, unruly.vanishes, unruly.impatient, unruly.silent)
    async with Registrar(f"{server.host}:{server.port}") as registrar:
        accounts = await registrar.sign_up(4)
    outcomes = await unruly.visit_all(
        server.host, server.port, accounts, accounts, 40, 200.0, seed=1, shares=dict.fromkeys(kinds, 1)
    )
    said = Counter({how.partition(": ")[0]: 0 for how in outcomes})
    for how, count in outcomes.items():
        said[how.partition(": ")[0]] += count
        assert how in {
            "leaves: CANCELLED cancelled here",
            "impatient: CANCELLED cancelled here",
            "vanishes: hung up",
            "silent: FAILED_PRECONDITION hello: must be the first frame, within 10 s",
        }
    assert said.total() == 40
    assert set(said) == {kind.__name__ for kind in kinds}


async def test_a_server_that_runs_already_is_measured_and_left_alone(server):
    async with serving(server.url, None) as other:
        terms = Terms(clients=4, seconds=1.0, warm_up=0.5)
        (result,) = await results_of(ladder.run(other, terms, (20.0,), keep_going=False))
        assert set(result["cpu"]) == {"generator"}
        with pytest.raises(ServerFailed, match="leave out --server"):
            await results_of(kill.run(other, terms, rate=1.0))
        with pytest.raises(ServerFailed, match="--pid"):
            await results_of(idle.run(other, terms))
    assert server.parts()


async def test_a_server_that_does_not_start_says_why(monkeypatch):
    monkeypatch.setenv("STONECHAT_SESSION_IN_FLIGHT", "no number")
    with pytest.raises(ServerFailed, match="STONECHAT_SESSION_IN_FLIGHT"):
        async with serving(None, None):
            pass
