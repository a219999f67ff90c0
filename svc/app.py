"""The composition: the services that a process is asked to run, on the back ends that are set, with Envoy in front."""

import asyncio
import json
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from svc.backends.opening import Agreement, Hot, Messages, open_agreement, open_hot, open_log, open_messages
from svc.kernel.calls import Access, CallChain, handlers
from svc.kernel.channels import Channels
from svc.kernel.clock import Clock, SystemClock
from svc.kernel.errors import StartError, StonechatError
from svc.kernel.eventlog import EventLog
from svc.kernel.identity import KeySource, TokenVerifier
from svc.kernel.ids import new_boot_id
from svc.kernel.lifecycle import Failed, data_folder, owned, settle_garbage, stop_on_signals, watchdog
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.log_clock import LogClock
from svc.kernel.pages import operators_pages
from svc.kernel.readiness import Ping, Readiness
from svc.kernel.registry import PUBLIC_METHODS, SERVICES, Instance
from svc.kernel.remote_keys import remote_keys
from svc.kernel.settings import Settings
from svc.kernel.switches import Switches
from svc.kernel.telemetry import Tracer, start_tracing
from svc.roles import EDGE, chosen, needs_log, needs_store

if TYPE_CHECKING:
    from svc.delivery.delivery import Delivery
    from svc.messaging.node import Node

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 512 * 1024
_BURST = 5
_STOP_SECONDS = 2.0
_LEAVING_SECONDS = 10.0

_GRPC_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.so_reuseport", 0),
    # Envoy pings each connection; without these the server would call that abuse and cut it.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_ping_strikes", 0),
    # What a stream may send before it is read; else its window grows with its speed, up to megabytes.
    ("grpc.http2.lookahead_bytes", 64 * 1024),
    ("grpc.http2.bdp_probe", 0),
]


@dataclass(frozen=True, slots=True)
class Running:
    """What runs in this process. `url`: where clients reach the edge or, where there is none, others reach its services."""

    url: str
    node: "Node | None"


@dataclass(slots=True)
class _Parts:
    """What the services of one process share, and what has been built of it."""

    settings: Settings
    clock: Clock
    instance: Instance
    channels: Channels
    agreement: Agreement
    hot: Hot
    tracer: Tracer
    limiter: RateLimiter
    failed: Failed
    switches: Switches = field(default_factory=Switches)
    event_log: EventLog | None = None
    messages: Messages | None = None
    pings: dict[str, Ping] = field(default_factory=dict)
    services: list[tuple[ServiceDescriptor, object]] = field(default_factory=list)
    keys: KeySource | None = None
    delivery: "Delivery | None" = None
    node: "Node | None" = None

    @property
    def log(self) -> EventLog:
        """What the roles of the process are said to need is open (svc.roles)."""
        assert self.event_log is not None  # noqa: S101
        return self.event_log

    @property
    def store(self) -> Messages:
        """As `log`."""
        assert self.messages is not None  # noqa: S101
        return self.messages

    @property
    def rate(self) -> Rate:
        """Of calls of one user and method."""
        return Rate(self.settings.calls_per_second, self.settings.calls_per_second * _BURST)


@asynccontextmanager
async def product(settings: Settings, failed: Failed, names: Sequence[str] = ()) -> AsyncIterator[Running]:
    """The services named, or everything: serving when the block begins and closed in reverse order when it ends. Raises
    StartError; `failed` is told when something that must live has died for good."""
    roles = chosen(names, settings)
    async with AsyncExitStack() as stack:
        stack.enter_context(data_folder(settings.data_dir))
        tracer = start_tracing(settings)
        stack.callback(tracer.shutdown)
        inner_token = settings.inner_token or secrets.token_urlsafe(32)
        server, address = _bound(settings)
        agreement = await stack.enter_async_context(open_agreement(settings, failed))
        channels = Channels(agreement.registry, inner_token)
        stack.push_async_callback(channels.close)
        clock = SystemClock()
        instance = Instance(address, new_boot_id())
        pings = dict(agreement.pings)
        hot = await stack.enter_async_context(open_hot(settings, clock, pings))
        limiter = RateLimiter(clock)
        parts = _Parts(settings, clock, instance, channels, agreement, hot, tracer, limiter, failed, pings=pings)
        await _open_stores(stack, parts, roles)
        verifier = await _open_services(stack, parts, roles)
        readiness = Readiness(parts.pings, parts.clock)
        stack.enter_context(operators_pages(settings.metrics_address(), readiness))
        chain = CallChain(verifier, _access(parts.services, inner_token), parts.limiter, parts.rate, parts.clock)
        checks = await stack.enter_async_context(_serving(server, chain, parts.services))
        _write_inner(settings.inner_file(), address, inner_token)
        url = await _open_front(stack, parts, roles)
        # Not before: on a busy machine building all of this keeps the event loop for seconds.
        stack.enter_context(watchdog())
        await stack.enter_async_context(owned(readiness.run(), "readiness", failed))
        await stack.enter_async_context(owned(parts.switches.follow(hot.board, parts.clock), "switches", failed))
        if hot.pool is not None:
            await stack.enter_async_context(owned(limiter.share(hot.pool), "shared limits", failed))
        if parts.node is not None:
            stack.push_async_callback(parts.node.drain, settings.drain_seconds)
            # Before its sessions are told to move: they go to others.
            stack.push_async_callback(agreement.registry.deregister, "messaging", instance)
        stack.push_async_callback(checks.enter_graceful_shutdown)  # first of all: nobody new is sent here
        yield Running(url, parts.node)


async def _open_stores(stack: AsyncExitStack, parts: _Parts, roles: frozenset[str]) -> None:
    settings = parts.settings
    if needs_log(roles):
        opening = open_log(settings, parts.clock, parts.pings, parts.failed)
        parts.event_log, parts.clock = opened, clock = await stack.enter_async_context(opening)
        shards = parts.agreement.coordination.shards
        await opened.ensure(shards.partitions)
        if shards.partitions != settings.partitions:
            log.warning("the log has its own number of partitions", extra={"partitions": shards.partitions})
        if isinstance(clock, LogClock):
            await stack.enter_async_context(clock.kept(opened, parts.failed))
    if needs_store(roles):
        parts.messages = await stack.enter_async_context(open_messages(settings, parts.event_log, parts.pings))


async def _open_services(stack: AsyncExitStack, parts: _Parts, roles: frozenset[str]) -> TokenVerifier:
    """Build the services. In this order: each finds what it needs of those before it. What is not served is not imported."""
    settings, clock, agreement, channels = parts.settings, parts.clock, parts.agreement, parts.channels
    if "users" in roles:
        from svc.users.wiring import open_users

        users = open_users(settings, clock, parts.log, agreement.coordination, parts.limiter, parts.failed)
        opened = await stack.enter_async_context(users)
        parts.services += opened.services
        parts.keys = opened.jwks
        parts.pings["mysql" if settings.mysql else "users"] = opened.ping
    verifier = TokenVerifier(parts.keys or remote_keys(channels), clock)
    if "groups" in roles:
        from svc.groups.wiring import open_groups

        groups = await stack.enter_async_context(
            open_groups(settings, clock, parts.log, agreement.coordination, channels, parts.failed)
        )
        parts.services += groups.services
        parts.pings["mysql" if settings.mysql else "groups"] = groups.ping
    if "history" in roles:
        from svc.history.wiring import open_history

        parts.services += (await stack.enter_async_context(open_history(parts.store))).services
    if "delivery" in roles:
        from svc.delivery.wiring import open_delivery

        delivery = await stack.enter_async_context(
            open_delivery(
                clock,
                parts.log,
                agreement.coordination,
                agreement.registry,
                parts.instance,
                parts.store,
                parts.hot,
                parts.tracer,
                parts.failed,
            )
        )
        parts.services += delivery.services
        parts.delivery = delivery.delivery
    if "messaging" in roles:
        from svc.messaging.wiring import open_messaging

        messaging = await stack.enter_async_context(
            open_messaging(
                parts.instance.boot_id,
                settings,
                clock,
                parts.log,
                agreement.coordination,
                agreement.registry,
                parts.delivery.streams if parts.delivery is not None else None,
                parts.store,
                channels,
                verifier,
                parts.limiter,
                parts.rate,
                parts.tracer,
                parts.switches,
                parts.failed,
            )
        )
        parts.services += messaging.services
        parts.node = messaging.node
    return verifier


async def _open_front(stack: AsyncExitStack, parts: _Parts, roles: frozenset[str]) -> str:
    """Be found: by other services, and by clients. What is taken back first when the process leaves is entered last: it is
    found no more, then its sessions move, then its partitions."""
    registry, address = parts.agreement.registry, parts.instance.address
    url = address
    if "delivery" in roles:
        await stack.enter_async_context(_registered(parts, ["delivery"]))
    if parts.delivery is not None:
        stack.push_async_callback(_in_time, parts.delivery.drain, "partitions were not given back in time")
    others = [service.name for service in SERVICES if service.name in roles and service.name != "delivery"]
    await stack.enter_async_context(_registered(parts, others))
    if EDGE in roles:
        from svc.controlplane.wiring import edge

        front = await stack.enter_async_context(edge(parts.settings, registry, parts.clock, parts.failed))
        url = front.url
    return url


def _access(services: Iterable[tuple[ServiceDescriptor, object]], inner_token: str) -> Access:
    inner_services = {name for service in SERVICES for name in service.inner}
    inner = {
        f"/{descriptor.full_name}/{method.name}"
        for descriptor, _ in services
        if descriptor.full_name in inner_services
        for method in descriptor.methods
    }
    return Access(PUBLIC_METHODS, frozenset(inner), inner_token)


def _bound(settings: Settings) -> tuple[Any, str]:
    """A gRPC server that has its address, and does not answer yet."""
    host, port = settings.inner_address()
    server = grpc.aio.server(options=_GRPC_OPTIONS)
    shown = f"[{host}]" if ":" in host else host
    try:
        bound = server.add_insecure_port(f"{shown}:{port}")
    except RuntimeError as error:
        raise StartError(
            f"the services cannot listen on {shown}:{port} ({error}): stop what listens there, or set STONECHAT_INNER_LISTEN"
        ) from error
    return server, f"{shown}:{bound}"


@asynccontextmanager
async def _serving(
    server: Any, chain: CallChain, services: list[tuple[ServiceDescriptor, object]]
) -> AsyncIterator[Any]:
    server.add_generic_rpc_handlers(tuple(handlers(chain, descriptor, servicer) for descriptor, servicer in services))
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    public = [name for service in SERVICES for name in service.grpc_services]
    here = [name for name in public if any(descriptor.full_name == name for descriptor, _ in services)]
    reflection.enable_server_reflection((*here, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    await server.start()
    for name in ("", *here):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield checks
    finally:
        await server.stop(_STOP_SECONDS)


@asynccontextmanager
async def _registered(parts: _Parts, services: Sequence[str]) -> AsyncIterator[None]:
    registry = parts.agreement.registry
    for service in services:
        await registry.register(service, parts.instance)
    try:
        yield
    finally:
        for service in services:
            await registry.deregister(service, parts.instance)


async def _in_time(leave: Callable[[], Awaitable[None]], otherwise: str) -> None:
    try:
        async with asyncio.timeout(_LEAVING_SECONDS):
            await leave()
    except TimeoutError:
        log.warning(otherwise)


def _write_inner(path: Path, address: str, token: str) -> None:
    """Where the commands of this machine's operator find the inner services, readable by the owner of the process only."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"address": address, "token": token}, file)


async def serve(settings: Settings, names: Sequence[str], ready: Callable[[str], None]) -> None:
    """Serve these services, or everything, until a signal; `ready` is told where (`Running.url`). Raises StartError, or what
    the product died of."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    died: list[BaseException] = []

    def failed(error: BaseException) -> None:
        died.append(error)
        stop.set()

    async with product(settings, failed, names) as running:
        settle_garbage()
        ready(running.url)
        await stop.wait()
        log.info("stopping")
    if died:
        raise died[0] if isinstance(died[0], StonechatError) else StartError(f"stopped: {died[0]}")
