"""What delivery is made of."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor

from stonechat.delivery.v1 import delivery_service_pb2 as api
from svc.backends.messages_schema import KEY_RETENTION_SECONDS
from svc.backends.sqlite import Database
from svc.backends.sqlite_log import SqliteEventLog
from svc.delivery.adapters.sqlite import SqliteMessageStore
from svc.delivery.dead_letters import DeadLetters
from svc.delivery.delivery import Delivery
from svc.delivery.owner import Owner
from svc.delivery.servicer import DeliveryServicer
from svc.delivery.streams import OwnerStreams
from svc.delivery.wire import ProtoEncoder
from svc.kernel.clock import Clock
from svc.kernel.errors import Unavailable
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.lifecycle import Failed, owned
from svc.kernel.shards import Shards
from svc.kernel.telemetry import Tracer

log = logging.getLogger(__name__)

TRIM_EVERY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class DeliveryParts:
    """A running owner: its streams for nodes in this process, and what it serves to others."""

    streams: OwnerStreams
    services: list[tuple[ServiceDescriptor, object]]


@asynccontextmanager
async def open_delivery(
    clock: Clock,
    event_log: SqliteEventLog,
    shards: Shards,
    messages: Database,
    tracer: Tracer,
    failed: Failed | None = None,
) -> AsyncIterator[DeliveryParts]:
    """Delivery, for as long as the block lasts."""
    store = SqliteMessageStore(messages)
    await _begin_era(event_log, store, shards)
    encoder = ProtoEncoder(clock, SnowflakeGenerator(clock))
    delivery = Delivery(lambda: Owner(event_log, store, encoder, clock, tracer, shards), clock)
    servicer = DeliveryServicer(delivery.streams, DeadLetters(event_log, shards))
    async with (
        owned(delivery.run(), "delivery", failed),
        owned(_trim(event_log, store, clock), "retention", failed),
    ):
        yield DeliveryParts(delivery.streams, [(api.DESCRIPTOR.services_by_name["DeliveryService"], servicer)])


async def _begin_era(event_log: SqliteEventLog, store: SqliteMessageStore, shards: Shards) -> None:
    """A new log beside messages that are stored: the one they came from is lost (T4). Its offsets begin at 0 again, so before
    anything is appended its positions get an era above all that were used."""
    if not await event_log.is_new() or (era := await store.newest_era()) == 0:
        return
    log.critical(
        "the log is new, but messages are stored: the old log is lost, a new era begins", extra={"era": era + 1}
    )
    for partition in range(shards.shards.partitions):
        await event_log.start_era(partition, era + 1)


async def _trim(event_log: SqliteEventLog, store: SqliteMessageStore, clock: Clock) -> None:
    while True:
        await clock.sleep(TRIM_EVERY_SECONDS)
        try:
            entries = await event_log.trim()
            keys = await store.trim_keys(clock.now_us() - KEY_RETENTION_SECONDS * 1_000_000)
            log.info("retention", extra={"log_entries": entries, "idempotency_keys": keys})
        except Unavailable as error:
            log.warning("retention waits", extra={"error": error.message})
