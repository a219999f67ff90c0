"""A real owner on a log and a store in a folder, the way the product runs it, and what a node appends for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from stonechat.messaging.v1.messaging_service_pb2 import ConnectResponse
from svc.backends.messages_schema import SCHEMA
from svc.backends.sqlite import Database, open_database
from svc.backends.sqlite_coordination import SqliteCoordination, open_coordination
from svc.backends.sqlite_log import SqliteEventLog, open_event_log
from svc.delivery.adapters.sqlite import SqliteMessageStore
from svc.delivery.delivery import Delivery
from svc.delivery.owner import Owner
from svc.delivery.wire import ProtoEncoder
from svc.kernel.clock import Clock, SystemClock
from svc.kernel.eventlog import ACCEPTED
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.lifecycle import owned
from svc.kernel.record import Kind, Record, own_key, to_entry
from svc.kernel.registry import Instance, ProcessRegistry
from svc.kernel.telemetry import Tracer, tracer_to

PARTITIONS = 5
SECONDS = 60.0


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(SECONDS):
        while not await holds():  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.005)


@dataclass
class Stand:
    """The log, the store, and who owns."""

    log: SqliteEventLog
    messages: Database
    coordination: SqliteCoordination
    registry: ProcessRegistry
    instance: Instance
    delivery: Delivery
    tracer: Tracer
    spans: InMemorySpanExporter
    clock: Clock
    ids: SnowflakeGenerator = field(default_factory=lambda: SnowflakeGenerator(SystemClock()))

    @property
    def store(self) -> SqliteMessageStore:
        """A store as delivery opens it."""
        return SqliteMessageStore(self.messages)

    def record(
        self,
        conversation_id: str,
        text: str = "hello",
        key: str = "",
        node: str = "",
        request_id: int = 0,
        sender_id: str = "u1",
    ) -> Record:
        """A message as a node appends it."""
        record_id = self.ids.next()
        body = bodies.Message(type="text", content=text).SerializeToString()
        return Record(
            Kind.MESSAGE,
            conversation_id,
            sender_id,
            key or own_key(record_id),
            record_id,
            body,
            node=node,
            request_id=request_id,
        )

    async def append(self, *records: Record) -> None:
        """Accept records."""
        await self.log.append(ACCEPTED, [to_entry(record, self.coordination.shards) for record in records])

    async def heads(self, conversation_id: str, seq: int) -> None:
        """Wait until a conversation has come so far."""

        async def there() -> bool:
            return (conversation_id, seq) in await self.store.targets([(conversation_id, seq)])

        await until(there)


def texts(frame: bytes) -> list[str]:
    """The texts of the messages in a frame."""
    events = ConnectResponse.FromString(frame).events
    return [event.conversation_event.message.content for event in events if event.HasField("conversation_event")]


@asynccontextmanager
async def open_stand(folder: Path) -> AsyncIterator[Stand]:
    """Everything in a folder; nobody owns yet."""
    clock, spans = SystemClock(), InMemorySpanExporter()
    registry, instance, tracer = ProcessRegistry(), Instance("127.0.0.1:1", "boot"), tracer_to(spans)
    async with (
        open_event_log(folder / "log.sqlite", clock) as log,
        open_database(folder / "messages.sqlite", SCHEMA) as messages,
        open_coordination(folder, PARTITIONS) as coordination,
    ):
        encoder = ProtoEncoder(clock, SnowflakeGenerator(clock))
        store = SqliteMessageStore(messages)

        def make_owner() -> Owner:
            return Owner(log, store, encoder, clock, tracer, coordination)

        delivery = Delivery(make_owner, coordination, registry, instance, clock)
        yield Stand(log, messages, coordination, registry, instance, delivery, tracer, spans, clock)
        tracer.shutdown()


@asynccontextmanager
async def owning(stand: Stand) -> AsyncIterator[None]:
    """Somebody owns everything, for as long as the block lasts."""
    await stand.registry.register("delivery", stand.instance)
    async with owned(stand.delivery.run(), "delivery"):

        async def serves() -> bool:
            owner = stand.delivery.streams.owner
            return owner is not None and len(owner.claims) == PARTITIONS

        await until(serves)
        yield
    for claim in stand.coordination.claims().values():  # they end with the process
        await stand.coordination.release(claim)
