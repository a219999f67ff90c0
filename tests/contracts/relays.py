"""Relays as nodes reach them: inside the process, and over a real server; and who reads what comes down."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc

from stonechat.delivery.v1 import delivery_service_pb2 as api
from svc.delivery.dead_letters import DeadLetters
from svc.delivery.servicer import DeliveryServicer
from svc.delivery.streams import OwnerStreams
from svc.kernel.calls import Access, CallChain, handlers
from svc.kernel.channels import Channels
from svc.kernel.clock import SystemClock
from svc.kernel.identity import TokenVerifier
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.registry import Instance, ProcessRegistry
from svc.kernel.relay import Ack, Answer, Event, Item, Relay, RelayStream
from svc.messaging.adapters.relay import GrpcRelay
from tests.contracts.owner import Stand

SERVICE = api.DESCRIPTOR.services_by_name["DeliveryService"]
ALL = frozenset(f"/{SERVICE.full_name}/{method.name}" for method in SERVICE.methods)
INNER_TOKEN = "inner"
C, D = "d.u1.u2", "g7"


async def no_keys() -> str:
    return '{"keys": []}'


class To:
    """A relay, always to the same instance."""

    def __init__(self, relay: Relay, instance: Instance) -> None:
        self._relay = relay
        self.instance = instance

    async def open(self, node: str, instance: Instance) -> RelayStream:
        return await self._relay.open(node, self.instance)


@asynccontextmanager
async def serving(stand: Stand, streams: OwnerStreams) -> AsyncIterator[str]:
    """A server with the relay to an owner; yields its address. It ends at once, whoever is connected."""
    clock = SystemClock()
    access = Access(frozenset(), ALL, INNER_TOKEN)
    chain = CallChain(TokenVerifier(no_keys, clock), access, RateLimiter(clock), Rate(1e6, 1e6), clock)
    servicer = DeliveryServicer(streams, DeadLetters(stand.log, stand.coordination))
    options = [("grpc.max_receive_message_length", 512 * 1024), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(handlers=[handlers(chain, SERVICE, servicer)], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)


@asynccontextmanager
async def over_grpc(stand: Stand, registry: ProcessRegistry) -> AsyncIterator[Relay]:
    async with serving(stand, stand.delivery.streams) as address:
        instance = Instance(address, "boot")
        await registry.register("delivery", instance)
        channels = Channels(registry, INNER_TOKEN)
        try:
            yield To(GrpcRelay(channels), instance)
        finally:
            await channels.close()


@dataclass
class Reader:
    """One stream of a node and everything that came down it."""

    stream: RelayStream
    items: list[Item]

    async def until(self, wanted: Callable[[Item], bool]) -> Item:
        """Read on until such an item comes."""
        async with asyncio.timeout(20):
            while True:
                batch = await self.stream.receive()
                assert len(batch) > 0
                self.items.extend(batch)
                for item in batch:
                    if wanted(item):
                        return item

    async def acknowledged(self, conversation_id: str) -> Ack:
        found = await self.until(lambda item: isinstance(item, Ack) and item.conversation_id == conversation_id)
        assert isinstance(found, Ack)
        return found

    async def answered(self, request_id: int) -> Answer:
        found = await self.until(lambda item: isinstance(item, Answer) and item.request_id == request_id)
        assert isinstance(found, Answer)
        return found

    def events(self, conversation_id: str) -> list[int]:
        return [item.seq for item in self.items if isinstance(item, Event) and item.conversation_id == conversation_id]


@dataclass
class World:
    stand: Stand
    relay: Relay
    streams: AsyncExitStack

    async def open(self, node: str = "node") -> Reader:
        stream = await self.relay.open(node, self.stand.instance)
        self.streams.push_async_callback(stream.close)
        return Reader(stream, [])
