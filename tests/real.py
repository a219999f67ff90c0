"""Where the real back ends are that tests marked `real` run on, and names by which each test keeps to itself on them.

`make backends` starts them where they are looked for (on BACKENDS_HOST, as it does); STONECHAT_TEST_KAFKA,
STONECHAT_TEST_CASSANDRA … name others. Tests that break back ends start some of their own: `Backends`.
"""

import asyncio
import os
import secrets
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from svc.kernel import addresses

SCHEMES = {
    scheme.name: scheme
    for scheme in (addresses.KAFKA, addresses.CASSANDRA, addresses.MYSQL, addresses.REDIS, addresses.ZOOKEEPER)
}
_HOST = os.environ.get("BACKENDS_HOST", "127.0.0.1")
_USUAL = {
    "kafka": f"kafka://{_HOST}:9092?replication=1",
    "cassandra": f"cassandra://{_HOST}:9042?replication=1",
    "mysql": f"mysql://root@{_HOST}:3306",
    "redis": f"redis://{_HOST}:6379",
    "zookeeper": f"zookeeper://{_HOST}:2181",
}
_CONNECT_SECONDS = 3.0
_WARM_UP_SECONDS = 90.0
_WARM_UP_RECORDS = 300
_SCRIPT = Path(__file__).parent.parent / "backends" / "run"
_START_SECONDS = 400.0  # three Cassandra nodes, one after the other, on a machine that has other things to do
_OTHER_SECONDS = 90.0


def address(scheme: str, name: str = "", **options: object) -> str:
    """The URL of a running back end, as a setting takes it. `name` is the test's own (`unique`): topic prefix, keyspace,
    database, key prefix, path; `options` are added to those of the URL. A back end that nobody answers for fails the test,
    saying what to start."""
    url = os.environ.get(f"STONECHAT_TEST_{scheme.upper()}", _USUAL[scheme])
    _require(scheme, url)
    return _named(url, name, options)


def unique(prefix: str) -> str:
    """A name that nothing else has, fit for all of them: letters, digits and underscores, `prefix` first."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


class Backends:
    """Back ends of one test's own, which it may kill, pause and wipe while others use theirs. Everything lies in `folder` and
    listens on a block of loopback addresses that nobody else has. Names are those of `backends/run`: a service, or a node of it
    as `kafka3-1`; `settings` are variables that it knows (KAFKA_HEAP …). Every call returns when it is done, and raises
    AssertionError with what the script said when it failed or took too long."""

    def __init__(self, folder: Path, host: str = "", **settings: str) -> None:
        self.folder = folder
        self.host = host or f"127.{16 + secrets.randbelow(200)}.{secrets.randbelow(256)}.1"
        self._environment = os.environ | settings | {"BACKENDS_DIR": str(folder), "BACKENDS_HOST": self.host}

    async def start(self, *names: str) -> None:
        """Start what does not run of these; they serve when this returns."""
        await self._run("start", *names, seconds=_START_SECONDS)

    async def stop(self, *names: str) -> None:
        """End them in order. No name: all of them."""
        await self._run("stop", *names)

    async def kill(self, *names: str) -> None:
        """SIGKILL."""
        await self._run("kill", *names)

    async def pause(self, *names: str) -> None:
        """SIGSTOP: connections stay, nothing is answered."""
        await self._run("pause", *names)

    async def resume(self, *names: str) -> None:
        """SIGCONT."""
        await self._run("resume", *names)

    async def wipe(self, *names: str) -> None:
        """End them and forget what they stored. They are not started."""
        await self._run("wipe", *names)

    def data(self, node: str) -> Path:
        """What a node has stored: to be copied, spoiled or put back while the node does not run."""
        return self.folder / "data" / node

    def address(self, service: str, name: str = "", **options: object) -> str:
        """The URL of a service, whether it runs or not. `name` and `options` as for the function of this name."""
        told = subprocess.run(
            [_SCRIPT, "env", service],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_OTHER_SECONDS,
            check=True,
        )
        return _named(told.stdout.split("'")[1], name, options)

    async def _run(self, *arguments: str, seconds: float = _OTHER_SECONDS) -> None:
        process = await asyncio.create_subprocess_exec(
            _SCRIPT, *arguments, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        told = asyncio.ensure_future(process.communicate())
        try:
            output, _ = await asyncio.wait_for(asyncio.shield(told), seconds)
        except BaseException as error:  # cancelled, too: what was under way is not left alone
            process.kill()
            output, _ = await told
            if not isinstance(error, TimeoutError):
                raise
            raise AssertionError(f"{' '.join(arguments)}: not done in {seconds:.0f} s\n{output.decode()}") from error
        assert process.returncode == 0, f"{' '.join(arguments)}: {output.decode()}"


@asynccontextmanager
async def private_backends(folder: Path, *names: str, **settings: str) -> AsyncIterator[Backends]:
    """Back ends of a test's own, started; ended with the block, whatever state they are in, and their data removed."""
    backends = Backends(folder, **settings)
    try:
        await backends.start(*names)
        yield backends
    finally:
        await backends.wipe(*names)


def _named(url: str, name: str, options: dict[str, object]) -> str:
    place, _, query = url.partition("?")
    given = dict(pair.split("=", 1) for pair in query.split("&") if pair) | {
        option: str(value) for option, value in options.items()
    }
    return f"{place.rstrip('/')}/{name}" + ("?" + "&".join(f"{k}={v}" for k, v in given.items()) if given else "")


def _require(scheme: str, url: str) -> None:
    if trouble := _unreachable(scheme, url):
        pytest.fail(f"no {scheme} answers ({trouble}): `make backends` starts it", pytrace=False)


@cache  # one look a session: a back end that dies under a test is the test's own matter
def _unreachable(scheme: str, url: str) -> str:
    parsed = addresses.parse(SCHEMES[scheme], url)
    trouble = ""
    for host, port in parsed.hosts:
        try:
            socket.create_connection((host, port), _CONNECT_SECONDS).close()
        except OSError as error:
            trouble = f"{host}:{port}: {error}"
            continue
        if scheme == "kafka":
            with ThreadPoolExecutor(1) as thread:  # not on the event loop that may run here
                thread.submit(asyncio.run, _warmed_up(parsed)).result(_WARM_UP_SECONDS)
        return ""
    return trouble


async def _warmed_up(place: addresses.Address) -> None:
    """A broker that has just started takes seconds for the first records, which says nothing of who waits for it."""
    brokers, topic = place.host_ports(), unique("warm_up")
    async with asyncio.timeout(_WARM_UP_SECONDS):
        admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
        await admin.start()
        await admin.create_topics([NewTopic(topic, 1, int(place.option("replication", "3")))])
        producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all", enable_idempotence=True)
        await producer.start()
        for _ in range(_WARM_UP_RECORDS):
            await producer.send_and_wait(topic, b"")
        await producer.stop()
        await admin.delete_topics([topic])
        await admin.close()
