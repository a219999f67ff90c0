"""What messaging is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor

from stonechat.messaging.v1 import messaging_service_pb2 as api
from svc.backends.opening import Messages
from svc.backends.sqlite import Database
from svc.kernel.channels import Channels
from svc.kernel.clock import Clock
from svc.kernel.coordination import Coordination
from svc.kernel.eventlog import EventLog
from svc.kernel.identity import TokenVerifier
from svc.kernel.lifecycle import Failed, owned
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.registry import Registry
from svc.kernel.relay import Relay
from svc.kernel.settings import Settings
from svc.kernel.switches import Switches
from svc.kernel.telemetry import Tracer
from svc.messaging.adapters.directory import ServicesDirectory
from svc.messaging.adapters.relay import ChoosingRelay, GrpcRelay
from svc.messaging.adapters.sqlite import SqliteConversations, SqliteReadMarks
from svc.messaging.cursors import CursorSessions
from svc.messaging.node import Node
from svc.messaging.ports import Conversations, ReadMarks
from svc.messaging.servicer import MessagingServicer
from svc.messaging.stream import FrameReader
from svc.messaging.wire import ProtoEncoder, to_frame

QUEUED_BYTES = 64 << 20
"""So much that waits for slow sessions is as much as may be: what can be left out is (`svc.kernel.switches`)."""


@dataclass(frozen=True, slots=True)
class Messaging:
    """A running node and what it serves."""

    node: Node
    services: list[tuple[ServiceDescriptor, object]]


def _stores(messages: Messages) -> tuple[Conversations, ReadMarks]:
    if isinstance(messages, Database):
        return SqliteConversations(messages), SqliteReadMarks(messages)
    from svc.messaging.adapters.cassandra import CassandraConversations, CassandraReadMarks

    return CassandraConversations(messages), CassandraReadMarks(messages)


@asynccontextmanager
async def open_messaging(
    boot_id: str,
    settings: Settings,
    clock: Clock,
    log: EventLog,
    coordination: Coordination,
    registry: Registry,
    local: Relay | None,
    messages: Messages,
    channels: Channels,
    verifier: TokenVerifier,
    limiter: RateLimiter,
    rate: Rate,
    tracer: Tracer,
    switches: Switches,
    failed: Failed | None = None,
) -> AsyncIterator[Messaging]:
    """Messaging, for as long as the block lasts. `boot_id` names this run of the process. `local` is the relay to the delivery
    instance in this process, if there is one; others are reached over gRPC."""
    node = Node(
        boot_id,
        settings,
        clock,
        log,
        coordination,
        registry,
        ChoosingRelay(boot_id, local, GrpcRelay(channels)),
        *_stores(messages),
        ServicesDirectory(channels),
        ProtoEncoder(),
        tracer,
        switches,
    )
    switches.measure(lambda: node.queued_bytes() / QUEUED_BYTES)
    cursors = CursorSessions(node, clock)
    reader = FrameReader(node, to_frame, verifier, limiter, rate, settings.session_in_flight)
    async with node.running(failed), owned(cursors.run(), "cursor sessions", failed):
        servicer = MessagingServicer(node, cursors, reader, tracer)
        yield Messaging(node, [(api.DESCRIPTOR.services_by_name["MessagingService"], servicer)])
