"""What delivery is made of."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor

from stonechat.delivery.v1 import delivery_service_pb2 as api
from svc.backends.messages_schema import KEY_RETENTION_SECONDS
from svc.backends.opening import Hot, Messages
from svc.backends.sqlite import Database
from svc.backends.sqlite_log import SqliteEventLog
from svc.delivery.adapters.sqlite import SqliteMessageStore
from svc.delivery.dead_letters import DeadLetters
from svc.delivery.delivery import Delivery
from svc.delivery.growing import Growing
from svc.delivery.owner import Owner
from svc.delivery.ports import Heads, MessageStore
from svc.delivery.replaying import Replaying
from svc.delivery.retry import Retry
from svc.delivery.servicer import DeliveryServicer
from svc.delivery.wire import ProtoEncoder
from svc.kernel.clock import Clock
from svc.kernel.coordination import Coordination
from svc.kernel.errors import Unavailable
from svc.kernel.eventlog import ACCEPTED, EventLog
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.lifecycle import Failed, owned
from svc.kernel.registry import Instance, Registry
from svc.kernel.telemetry import Tracer

log = logging.getLogger(__name__)

TRIM_EVERY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class DeliveryParts:
    """A running instance, with its streams for nodes in this process, and what it serves to others."""

    delivery: Delivery
    services: list[tuple[ServiceDescriptor, object]]


@asynccontextmanager
async def open_delivery(
    clock: Clock,
    event_log: EventLog,
    coordination: Coordination,
    registry: Registry,
    instance: Instance,
    messages: Messages,
    hot: Hot,
    tracer: Tracer,
    failed: Failed | None = None,
) -> AsyncIterator[DeliveryParts]:
    """Delivery, for as long as the block lasts. `instance` is this process, as the registry will know it."""
    store, heads = _store(messages), _heads(hot)
    await _tell_new_log(event_log, store, coordination)
    encoder = ProtoEncoder(clock, SnowflakeGenerator(clock))

    def make_owner() -> Owner:
        return Owner(event_log, store, encoder, clock, tracer, coordination, heads)

    delivery = Delivery(make_owner, coordination, registry, instance, clock)
    servicer = DeliveryServicer(delivery.streams, DeadLetters(event_log, coordination))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(owned(delivery.run(), "delivery", failed))
        if isinstance(event_log, SqliteEventLog):
            await stack.enter_async_context(owned(_trim_log(event_log, clock), "retention of the log", failed))
        if isinstance(store, SqliteMessageStore):
            await stack.enter_async_context(owned(_trim_keys(store, clock), "retention of keys", failed))
        services: list[tuple[ServiceDescriptor, object]] = [
            (api.DESCRIPTOR.services_by_name["DeliveryService"], servicer)
        ]
        yield DeliveryParts(delivery, services)


def growing(event_log: EventLog, coordination: Coordination, clock: Clock, progress: Callable[[str], None]) -> Growing:
    """What moves shards to more partitions."""
    return Growing(event_log, coordination, clock, progress)


def replaying(event_log: EventLog, messages: Messages, coordination: Coordination, clock: Clock) -> Replaying:
    """What writes again what the log's records became."""
    return Replaying(event_log, _store(messages), coordination, Retry(clock))


def _store(messages: Messages) -> MessageStore:
    if isinstance(messages, Database):
        return SqliteMessageStore(messages)
    from svc.delivery.adapters.cassandra import CassandraMessageStore

    return CassandraMessageStore(messages)


def _heads(hot: Hot) -> Heads | None:
    if hot.redis is None:
        return None  # the memory of a process says nothing to whoever owns next
    from svc.delivery.adapters.redis import RedisHeads

    return RedisHeads(hot.redis)


async def _tell_new_log(event_log: EventLog, store: MessageStore, coordination: Coordination) -> None:
    """A log without a single entry beside messages that are stored: the one they came from is lost (T4). Its offsets begin at 0
    again, so before anything is appended its positions get an era above all that were used."""
    if any((await event_log.end_offsets(ACCEPTED)).values()) or await store.is_empty():
        return
    shards = await coordination.read_shards()
    log.critical(
        "the log is empty, but messages are stored: the old log is lost, a new era begins",
        extra={"era": shards.incident + 1},
    )
    await coordination.publish(shards.after_incident())


async def _trim_log(event_log: SqliteEventLog, clock: Clock) -> None:
    while True:
        await clock.sleep(TRIM_EVERY_SECONDS)
        try:
            log.info("retention of the log", extra={"entries": await event_log.trim()})
        except Unavailable as error:
            log.warning("retention waits", extra={"error": error.message})


async def _trim_keys(store: SqliteMessageStore, clock: Clock) -> None:
    while True:
        await clock.sleep(TRIM_EVERY_SECONDS)
        try:
            keys = await store.trim_keys(clock.now_us() - KEY_RETENTION_SECONDS * 1_000_000)
            log.info("retention of keys", extra={"keys": keys})
        except Unavailable as error:
            log.warning("retention waits", extra={"error": error.message})
