"""Back ends that tests may break: started apart from all others, killed, paused, wiped, and gone afterwards."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svc.kernel import addresses
from tests.backends.cassandra import command
from tests.real import Backends, address, private_backends, unique


def test_a_missing_back_end_says_what_to_start(monkeypatch: pytest.MonkeyPatch):
    """No skip: who asks for the real tests wants to know that they did not run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("STONECHAT_TEST_REDIS", f"redis://127.0.0.1:{port}")
    with pytest.raises(pytest.fail.Exception, match=rf"no redis answers \(127.0.0.1:{port}: .*make backends"):
        address("redis")


def test_a_test_has_a_place_of_its_own(monkeypatch: pytest.MonkeyPatch):
    """The name and the options of a test join those of the URL; the names suit every technology."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("STONECHAT_TEST_CASSANDRA", f"cassandra://127.0.0.1:{port}?replication=1&dc=here")
        name = unique("place")
        found = addresses.parse(addresses.CASSANDRA, address("cassandra", name, replication=3))
    assert (found.name, found.options) == (name, {"replication": "3", "dc": "here"})
    assert name.isidentifier()
    assert unique("place") != name


async def ask(backends: Backends, command: str, seconds: float = 5.0) -> str:
    """What Redis answers to one command, first line. TimeoutError, ConnectionError."""
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(backends.host, 6379)
        try:
            writer.write(command.encode() + b"\r\n")
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()


@pytest.fixture
async def backends(tmp_path: Path) -> AsyncIterator[Backends]:
    """A Redis of the test's own."""
    async with private_backends(tmp_path, "redis") as started:
        yield started


@pytest.mark.real
async def test_what_is_paused_does_not_answer_and_goes_on(backends: Backends):
    """A connection is taken, as by a machine that hangs; nothing was lost meanwhile."""
    assert await ask(backends, "SET key value") == "+OK"
    await backends.pause("redis")
    with pytest.raises(TimeoutError):
        await ask(backends, "PING", 0.5)
    await backends.resume("redis")
    assert await ask(backends, "STRLEN key") == ":5"


@pytest.mark.real
async def test_what_is_killed_or_wiped_starts_again(backends: Backends):
    """Killed, it refuses; it starts again at the same place."""
    await backends.kill("redis")
    with pytest.raises(ConnectionError):
        await ask(backends, "PING")
    await backends.start("redis")
    assert await ask(backends, "SET key value") == "+OK"
    await backends.wipe("redis")
    assert not backends.data("redis").exists()
    await backends.start("redis")
    assert await ask(backends, "STRLEN key") == ":0"


@pytest.mark.real
@pytest.mark.timeout(900)
async def test_a_wiped_cassandra_serves_again(tmp_path: Path):
    """Alone it begins anew; one of three takes its own place among the others."""
    async with private_backends(tmp_path, "cassandra", "cassandra3") as started:
        await started.wipe("cassandra", "cassandra3-3")
        await started.start("cassandra", "cassandra3-3")
        alone = addresses.parse(addresses.CASSANDRA, started.address("cassandra", replication=1))
        three = addresses.parse(addresses.CASSANDRA, started.address("cassandra3"))
        assert len(await command(alone, "SELECT host_id FROM system.peers_v2")) == 0
        assert len(await command(three, "SELECT host_id FROM system.peers_v2")) == 2


@pytest.mark.real
async def test_two_sets_do_not_meet(backends: Backends, tmp_path: Path):
    """The same service runs twice on one machine, and who ends one does not touch the other."""
    async with private_backends(tmp_path / "other", "redis") as other:
        assert other.address("redis") != backends.address("redis")
        assert await ask(other, "SET key other") == "+OK"
        assert await ask(backends, "STRLEN key") == ":0"
    with pytest.raises(ConnectionError):
        await ask(other, "PING")
    assert await ask(backends, "PING") == "+PONG"


@pytest.mark.real
async def test_a_failed_start_says_why(backends: Backends, tmp_path: Path):
    """Another process holds the port: the script names it and what to do."""
    second = Backends(tmp_path / "second", backends.host)
    with pytest.raises(AssertionError, match=rf"{backends.host}:6379 is taken .* BACKENDS_HOST"):
        await second.start("redis")


@pytest.mark.real
async def test_an_unknown_service_is_named(backends: Backends):
    """And those that there are."""
    with pytest.raises(AssertionError, match="no service mongo; there are kafka"):
        await backends.start("mongo")
