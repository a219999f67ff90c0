"""Builds the control plane and the edge that it steers, and takes them down again."""

import logging
import os
import resource as limits
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template

from svc.controlplane.adapters.admin import Admin
from svc.controlplane.adapters.descriptors import installed_contract
from svc.controlplane.adapters.discovery import discovery_server
from svc.controlplane.adapters.envoy import EnvoyProcess, envoy_binary
from svc.controlplane.adapters.listening import free_address
from svc.controlplane.edge import Edge
from svc.controlplane.publisher import Publisher
from svc.controlplane.routing import table
from svc.controlplane.servicer import DiscoveryServicer
from svc.controlplane.snapshot import Resource
from svc.controlplane.wire.clusters import endpoints, keys_cluster, service_cluster
from svc.controlplane.wire.listeners import edge_listener, key_listener
from svc.controlplane.wire.names import ADMIN_SOCKET, DISCOVERY_SOCKET, EDGE, KEYS_SOCKET
from svc.controlplane.wire.routes import edge_routes, key_routes
from svc.kernel.clock import Clock
from svc.kernel.lifecycle import owned
from svc.kernel.registry import Registry
from svc.kernel.settings import Settings

log = logging.getLogger(__name__)

_BOOTSTRAP = Path(__file__).resolve().parent.parent.parent / "envoy" / "bootstrap.yaml"
_MAX_CONNECTIONS = 50_000
_FILES_FOR_OTHER_USES = 512
_LONGEST_SOCKET_FOLDER = 90  # bytes; a socket's path has at most 107 with its name
_KEYS_SECONDS = 3.0
_LOOK_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class RunningEnvoy:
    """An Envoy that serves."""

    process: EnvoyProcess
    admin: Admin


@dataclass(frozen=True, slots=True)
class RunningEdge:
    """Where clients reach it, what Envoy is told, and Envoy."""

    url: str
    published: Publisher
    envoy: RunningEnvoy


def publisher(registry: Registry, host: str, port: int, origins: tuple[str, ...]) -> Publisher:
    """What Envoys are told, for clients at this address."""
    contract = installed_contract()
    routing = table(contract.methods)
    front = next(cluster.name for cluster in routing.clusters if cluster.holds_sessions)
    constant: list[Resource] = [
        *map(service_cluster, routing.clusters),
        keys_cluster(),
        edge_listener(host, port, front),
        key_listener(),
        edge_routes(routing, contract.descriptors, origins),
        key_routes(routing, contract.descriptors),
    ]
    return Publisher(registry, [cluster.name for cluster in routing.clusters], constant, endpoints)


@asynccontextmanager
async def edge(
    settings: Settings, registry: Registry, clock: Clock, failed: Callable[[BaseException], None]
) -> AsyncIterator[RunningEdge]:
    """An Envoy with its control plane: serving when the block begins, gone when it has ended.

    Raises StartError when the address is taken or Envoy does not start; `failed` is told when Envoy cannot be kept running.
    """
    host, port = free_address(*settings.listen_address())
    origins = tuple(origin for text in settings.cors_origins.split(",") if (origin := text.strip()))
    published = publisher(registry, host, port, origins)
    shown = f"[{host}]" if ":" in host else host
    with socket_folder(settings.run_dir()) as folder:
        async with control_plane(published, folder, failed), kept_envoy(settings, folder, clock, failed) as envoy:
            yield RunningEdge(f"http://{shown}:{port}", published, envoy)


@asynccontextmanager
async def control_plane(
    published: Publisher, folder: Path, failed: Callable[[BaseException], None]
) -> AsyncIterator[None]:
    """Tell every Envoy that asks in this folder, for as long as the block lasts."""
    async with (
        owned(published.run(), "publish the registry to Envoy", failed),
        discovery_server(DiscoveryServicer(published.configuration), folder / DISCOVERY_SOCKET),
    ):
        yield


@asynccontextmanager
async def kept_envoy(
    settings: Settings, folder: Path, clock: Clock, failed: Callable[[BaseException], None]
) -> AsyncIterator[RunningEnvoy]:
    """An Envoy that asks the control plane in this folder, started again whenever it ends."""
    bootstrap = settings.run_dir().resolve() / "envoy.yaml"  # Envoy runs in another folder than we
    _write_bootstrap(bootstrap)
    admin = Admin(folder / ADMIN_SOCKET)
    sockets = (ADMIN_SOCKET, KEYS_SOCKET)
    process = EnvoyProcess(envoy_binary(), folder, bootstrap, sockets, admin, EDGE, settings.drain_seconds)
    supervisor = Edge(process, clock)
    try:
        await supervisor.start()
        async with owned(supervisor.run(), "keep Envoy running", failed):
            await _await_keys(admin, clock)
            yield RunningEnvoy(process, admin)
    finally:
        await supervisor.stop()


@contextmanager
def socket_folder(run: Path) -> Iterator[Path]:
    """The run folder, or one with a short name when sockets in it would have too long a path."""
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    run = run.resolve()
    if len(os.fsencode(run)) <= _LONGEST_SOCKET_FOLDER:
        yield run
        return
    with tempfile.TemporaryDirectory(prefix="stonechat-") as short:
        yield Path(short)


def _write_bootstrap(path: Path) -> None:
    _, files = limits.getrlimit(limits.RLIMIT_NOFILE)
    room = _MAX_CONNECTIONS if files == limits.RLIM_INFINITY else max(1, files - _FILES_FOR_OTHER_USES)
    text = Template(_BOOTSTRAP.read_text()).substitute(
        node_id=f"edge-{secrets.token_hex(4)}",
        admin_socket=ADMIN_SOCKET,
        discovery_socket=DISCOVERY_SOCKET,
        max_connections=min(_MAX_CONNECTIONS, room),
    )
    path.unlink(missing_ok=True)  # of a former run, with whatever rights
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


async def _await_keys(admin: Admin, clock: Clock) -> None:
    """Wait until Envoy can check tokens, as it can as soon as the users service answers; not for ever: until then calls with
    a token are answered UNAVAILABLE, and all others work."""
    until = clock.monotonic() + _KEYS_SECONDS
    while clock.monotonic() < until:
        with suppress(OSError):  # it may just have ended: others see to that
            if await admin.stat(f"http.{EDGE}.jwt_authn.jwks_fetch_success") > 0:
                return
        await clock.sleep(_LOOK_SECONDS)
    log.warning("Envoy has no keys to check tokens with: the users service does not answer")
