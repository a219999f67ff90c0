"""Processes die, are paused, or are told to leave under load. Nothing acknowledged is lost, doubled or reordered."""

import asyncio
import signal

import pytest

from tests.faults.clients import StreamClient
from tests.faults.load import load
from tests.faults.server import alive, until
from tests.faults.verdict import verified

PAUSE_SECONDS = 10.0


async def test_envoy_goes_when_python_alone_is_killed(server):
    await server.start()
    envoy = server.envoy()
    assert envoy is not None
    server.signal(signal.SIGKILL)
    await server.gone(envoy)
    assert server.code() == -signal.SIGKILL


async def test_a_killed_envoy_is_started_again_and_streams_resume(server):
    await server.start()
    async with load(server) as talk:
        talk.start()
        for _ in range(3):
            await talk.more(100)
            streams = _streams(talk)
            killed = server.envoy()
            server.kill(killed)
            await until(lambda killed=killed: server.envoy() not in (None, killed), "Envoy was started again")
            await until(lambda streams=streams: _streams(talk) >= streams + 5, "every stream is open again")
            assert not alive(killed)
        await talk.more(100)
        assert server.said("Envoy ended, and with it every connection: killed by SIGKILL")
        await verified(server, talk, "Envoy killed 3 times")


async def test_sigterm_under_load_drains_and_loses_nothing(new_server):
    server = new_server(DRAIN_SECONDS="3")
    await server.start()
    async with load(server) as talk:
        talk.start()
        for _ in range(3):
            await talk.more(100)
            envoy = server.envoy()
            server.signal(signal.SIGTERM)
            assert await server.ended() == 0
            await server.gone(envoy)
            assert server.log("ERROR", "CRITICAL") == []
            assert "Traceback" not in server.errors()
            await server.start()
        await talk.more(100)
        await verified(server, talk, "told to stop 3 times")


async def test_a_second_sigterm_leaves_at_once(new_server):
    """The drain would take an hour."""
    server = new_server(DRAIN_SECONDS="3600")
    await server.start()
    async with load(server):
        envoy = server.envoy()
        server.signal(signal.SIGTERM)
        await until(lambda: server.said("draining"), "the server drains")
        assert server.code() is None
        server.signal(signal.SIGTERM)
        assert await server.ended() == 130
        await server.gone(envoy)
    assert "leaving at once" in server.errors()


@pytest.mark.timeout(200)
async def test_a_pause_under_load_loses_nothing_and_is_no_reason_to_end(server):
    """Python stands still for longer than its watchdog lets an event loop; Envoy goes on."""
    await server.start()
    async with load(server) as talk:
        talk.start()
        await talk.more(100)
        server.signal(signal.SIGSTOP)
        await asyncio.sleep(PAUSE_SECONDS)  # the fault itself
        server.signal(signal.SIGCONT)
        await talk.more(200)
        assert server.code() is None
        await verified(server, talk, f"paused for {PAUSE_SECONDS:.0f} s")


def _streams(talk):
    return sum(client.streams for client in talk.clients if isinstance(client, StreamClient))
