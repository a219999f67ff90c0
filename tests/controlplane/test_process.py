"""The Envoy process: it comes back when it dies, it leaves when we do, and says clearly why it cannot start."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import pytest

from svc.controlplane.adapters.admin import Admin
from svc.controlplane.adapters.envoy import EnvoyProcess, envoy_binary
from svc.controlplane.adapters.listening import free_address
from svc.controlplane.edge import Edge
from svc.controlplane.wiring import edge
from svc.kernel.clock import SystemClock
from svc.kernel.errors import StartError
from svc.kernel.registry import ProcessRegistry
from svc.kernel.settings import for_tests
from tests.controlplane.instance import bearer, instance
from tests.controlplane.stand import MESSAGING, Stand, add, clients, frame, said, stand, until
from tests.fakes import FakeClock


def alive(pid: int) -> bool:
    """A process that runs (one that has ended and waits for its parent does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_killed_envoy_is_replaced_on_the_same_address(tmp_path):
    async with instance("a") as a, stand(tmp_path, a) as here:
        assert await here.who() == "a"
        killed = here.edge.envoy.process.pid
        os.kill(killed, signal.SIGKILL)
        await until(lambda: here.edge.envoy.process.pid not in (None, killed))
        await until(here.edge.envoy.process.serving)
        await until(lambda: _answers(here))
        assert here.failures == []


async def test_envoy_ends_with_the_block(tmp_path):
    async with instance("a") as a, stand(tmp_path, a) as here:
        pid = here.edge.envoy.process.pid
        assert alive(pid)
    assert not alive(pid)


async def test_a_stopping_edge_lets_streams_end_first(tmp_path):
    settings = for_tests(tmp_path, listen="http://127.0.0.1:0", drain_seconds=20)
    async with instance("a") as a, AsyncExitStack() as around:
        registry = ProcessRegistry()
        await add(registry, a)
        stack = AsyncExitStack()
        running = await stack.enter_async_context(edge(settings, registry, SystemClock(), _raise))
        http, channel = await around.enter_async_context(clients(running.url))
        stream = channel.stream_stream(f"{MESSAGING}/Connect")(metadata=tuple(bearer().items()))
        assert said(await stream.read()) == ["a"]

        stopping = asyncio.ensure_future(stack.aclose())
        await until(lambda: _fails_health_checks(http))
        await stream.write(frame("on my way"))
        assert said(await stream.read()) == ["on my way"]
        assert not stopping.done()

        stream.cancel()
        async with asyncio.timeout(10):  # less than the drain time: nobody is left to wait for
            await stopping


async def test_sigkill_of_the_parent_leaves_no_envoy(tmp_path):
    """The parent starts an edge, says its Envoy's pid, and is killed with no chance to clean up."""
    program = tmp_path / "parent.py"
    program.write_text(
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from svc.controlplane.wiring import edge\n"
        "from svc.kernel.clock import SystemClock\n"
        "from svc.kernel.registry import ProcessRegistry\n"
        "from svc.kernel.settings import for_tests\n"
        "async def main():\n"
        "    settings = for_tests(Path(sys.argv[1]), listen='http://127.0.0.1:0')\n"
        "    async with edge(settings, ProcessRegistry(), SystemClock(), print) as running:\n"
        "        print(running.envoy.process.pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, str(program), str(tmp_path)]
    parent = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=Path.cwd())
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 60))
    assert alive(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(pid))


async def test_a_taken_port_stops_the_start_and_says_what_to_do(tmp_path):
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        settings = for_tests(tmp_path, listen=f"http://127.0.0.1:{port}")
        with pytest.raises(StartError) as refused:
            async with edge(settings, ProcessRegistry(), SystemClock(), _raise):
                pass
    for part in (f"127.0.0.1:{port}", "STONECHAT_LISTEN", "in use"):
        assert part in str(refused.value)


def test_an_address_that_is_not_ours_stops_the_start():
    with pytest.raises(StartError, match=r"198\.51\.100\.1:8080"):
        free_address("198.51.100.1", 8080)


def test_a_name_becomes_the_address_that_envoy_needs():
    host, port = free_address("localhost", 0)
    assert host in {"127.0.0.1", "::1"}
    assert port > 0


async def test_an_envoy_that_cannot_start_is_given_up_with_its_last_words(tmp_path):
    bootstrap = tmp_path / "envoy.yaml"
    bootstrap.write_text("admin: {address: {nonsense: 1}}")
    clock = FakeClock()
    process = EnvoyProcess(envoy_binary(), tmp_path, bootstrap, (), Admin(tmp_path / "admin.sock"), "edge", 0)
    with pytest.raises(StartError) as given_up:
        await Edge(process, clock).start()
    assert "nonsense" in str(given_up.value)
    assert "status 1" in str(given_up.value)
    assert process.pid is None


async def test_only_its_owner_can_read_what_envoy_is_started_with_or_reach_its_admin(tmp_path):
    async with instance("a") as a, stand(tmp_path, a):
        run = tmp_path / "run"
        for name in ("envoy.yaml", "admin.sock", "keys.sock"):
            assert stat.S_IMODE((run / name).stat().st_mode) == 0o600
        assert stat.S_IMODE(run.stat().st_mode) == 0o700


async def test_a_data_folder_with_a_long_path_works(tmp_path):
    """The path of a unix socket has at most 107 bytes."""
    folder = tmp_path / ("long" * 30)
    async with instance("a") as a, stand(folder, a) as here:
        assert await here.who() == "a"


async def test_a_data_folder_may_be_relative(tmp_path, monkeypatch):
    """As it is by default; Envoy runs in another folder than we."""
    monkeypatch.chdir(tmp_path)
    async with instance("a") as a, stand(Path("data"), a) as here:
        assert await here.who() == "a"


async def test_sockets_that_a_killed_process_left_are_no_hindrance(tmp_path):
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    for name in ("admin.sock", "keys.sock", "xds.sock"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(run / name))
    async with instance("a") as a, stand(tmp_path, a) as here:
        assert await here.who() == "a"


async def _answers(here: Stand) -> bool:
    return await here.who() == "a"


async def _fails_health_checks(http: httpx.AsyncClient) -> bool:
    with suppress(OSError):
        return (await http.get("/healthz")).status_code == 503
    return False


def _raise(error: BaseException) -> None:
    raise error
