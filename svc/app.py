"""The whole product in one process: every service on embedded back ends, and Envoy in front."""

import asyncio
import json
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from svc.backends.messages_schema import MESSAGES_FILE, SCHEMA
from svc.backends.sqlite import open_database
from svc.backends.sqlite_log import SqliteEventLog, open_event_log
from svc.controlplane.wiring import edge
from svc.delivery.wiring import open_delivery
from svc.groups.wiring import open_groups
from svc.history.wiring import open_history
from svc.kernel.calls import Access, CallChain, handlers
from svc.kernel.channels import Channels
from svc.kernel.clock import SystemClock
from svc.kernel.errors import StartError, StonechatError
from svc.kernel.identity import TokenVerifier
from svc.kernel.ids import new_boot_id
from svc.kernel.lifecycle import Failed, data_folder, settle_garbage, stop_on_signals, watchdog
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.registry import PUBLIC_METHODS, SERVICES, Instance, ProcessRegistry, Registry
from svc.kernel.settings import Settings
from svc.kernel.shards import FixedShards, ShardMap
from svc.kernel.telemetry import start_tracing
from svc.messaging.node import Node
from svc.messaging.wiring import open_messaging
from svc.users.wiring import open_users

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 512 * 1024
_BURST = 5
_STOP_SECONDS = 2.0

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
    """The product while it serves: where clients reach it, and its messaging node."""

    url: str
    node: Node


@asynccontextmanager
async def product(settings: Settings, failed: Failed) -> AsyncIterator[Running]:
    """Everything, serving when the block begins and closed in reverse order when it ends. Raises StartError; `failed` is told
    when something that must live has died for good."""
    async with AsyncExitStack() as stack:
        stack.enter_context(data_folder(settings.data_dir))
        _serve_metrics(settings, stack)
        tracer = start_tracing(settings)
        stack.callback(tracer.shutdown)
        clock, boot_id, inner_token = SystemClock(), new_boot_id(), secrets.token_urlsafe(32)
        event_log = await stack.enter_async_context(open_event_log(settings.data_dir / "log.sqlite", clock))
        await _require_messages(settings.data_dir / MESSAGES_FILE, event_log)
        messages = await stack.enter_async_context(open_database(settings.data_dir / MESSAGES_FILE, SCHEMA))
        shards = FixedShards(ShardMap.initial(await event_log.partitions(settings.partitions)))
        if shards.shards.partitions != settings.partitions:
            log.warning("the log has its own number of partitions", extra={"partitions": shards.shards.partitions})
        registry = ProcessRegistry()
        channels = Channels(registry, inner_token)
        stack.push_async_callback(channels.close)

        users = await stack.enter_async_context(open_users(settings, clock, event_log, shards, failed))
        verifier = TokenVerifier(users.jwks, clock)
        limiter = RateLimiter(clock)
        rate = Rate(settings.calls_per_second, settings.calls_per_second * _BURST)
        groups = await stack.enter_async_context(open_groups(settings, clock, event_log, shards, channels, failed))
        history = await stack.enter_async_context(open_history(messages))
        delivery = await stack.enter_async_context(open_delivery(clock, event_log, shards, messages, tracer, failed))
        messaging = await stack.enter_async_context(
            open_messaging(
                boot_id,
                settings,
                clock,
                event_log,
                shards,
                delivery.streams,
                messages,
                channels,
                verifier,
                limiter,
                rate,
                tracer,
                failed,
            )
        )
        services = [
            *users.services, *groups.services, *history.services, *delivery.services, *messaging.services
        ]  # fmt: skip
        chain = CallChain(verifier, _access(services, inner_token), limiter, rate, clock)
        address, checks = await stack.enter_async_context(_grpc_server(chain, services))
        _write_inner(settings.inner_file(), address, inner_token)
        await stack.enter_async_context(_registered(registry, Instance(address, boot_id)))
        front = await stack.enter_async_context(edge(settings, registry, clock, failed))
        # Not before: on a busy machine building all of this keeps the event loop for seconds.
        stack.enter_context(watchdog())
        stack.push_async_callback(messaging.node.drain, settings.drain_seconds)
        stack.push_async_callback(checks.enter_graceful_shutdown)  # first of all: nobody new is sent here
        yield Running(front.url, messaging.node)


async def _require_messages(path: Path, event_log: SqliteEventLog) -> None:
    """What the log says is stored is never read from it again: without the messages a new file would count from 1 anew."""
    if await event_log.is_consumed() and not await asyncio.to_thread(path.exists):
        raise StartError(
            f"{path} is missing, but the log beside it says that messages were stored there: restore it from a backup, or move"
            " the whole folder away to begin with nothing"
        )


def _serve_metrics(settings: Settings, stack: AsyncExitStack) -> None:
    if (address := settings.metrics_address()) is None:
        return
    host, port = address
    try:
        server, thread = start_http_server(port, host)
    except OSError as error:
        raise StartError(
            f"the metrics page cannot listen on {host}:{port} ({error.strerror}):"
            " stop what listens there, or set STONECHAT_METRICS_LISTEN (empty for none)"
        ) from error

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    stack.callback(close)


def _access(services: Iterable[tuple[ServiceDescriptor, object]], inner_token: str) -> Access:
    inner_services = {name for service in SERVICES for name in service.inner}
    inner = {
        f"/{descriptor.full_name}/{method.name}"
        for descriptor, _ in services
        if descriptor.full_name in inner_services
        for method in descriptor.methods
    }
    return Access(PUBLIC_METHODS, frozenset(inner), inner_token)


@asynccontextmanager
async def _grpc_server(
    chain: CallChain, services: list[tuple[ServiceDescriptor, object]]
) -> AsyncIterator[tuple[str, Any]]:
    server = grpc.aio.server(options=_GRPC_OPTIONS)
    server.add_generic_rpc_handlers(tuple(handlers(chain, descriptor, servicer) for descriptor, servicer in services))
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    public = [name for service in SERVICES for name in service.grpc_services]
    reflection.enable_server_reflection((*public, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    for name in ("", *public):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield f"127.0.0.1:{port}", checks
    finally:
        await server.stop(_STOP_SECONDS)


@asynccontextmanager
async def _registered(registry: Registry, instance: Instance) -> AsyncIterator[None]:
    for service in SERVICES:
        await registry.register(service.name, instance)
    try:
        yield
    finally:
        for service in SERVICES:
            await registry.deregister(service.name, instance)


def _write_inner(path: Path, address: str, token: str) -> None:
    """Where the commands of this machine's operator find the inner services, readable by the owner of the process only."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"address": address, "token": token}, file)


async def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve until a signal; `ready` is told the address of the edge. Raises StartError, or what the product died of."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    died: list[BaseException] = []

    def failed(error: BaseException) -> None:
        died.append(error)
        stop.set()

    async with product(settings, failed) as running:
        settle_garbage()
        ready(running.url)
        await stop.wait()
        log.info("stopping")
    if died:
        raise died[0] if isinstance(died[0], StonechatError) else StartError(f"stopped: {died[0]}")
