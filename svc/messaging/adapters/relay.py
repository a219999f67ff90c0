"""The relay over gRPC, for owners in other processes (protocol S1)."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack

import grpc

from stonechat.delivery.v1 import delivery_service_pb2 as api
from stonechat.delivery.v1.delivery_service_pb2_grpc import DeliveryServiceStub
from svc.kernel.channels import Channels, call_is_over, translate
from svc.kernel.errors import Unavailable
from svc.kernel.lifecycle import owned
from svc.kernel.registry import Instance
from svc.kernel.relay import Item, Relay, RelayStream, Signal, Unanswered
from svc.messaging.wire import from_signal, from_unanswered, to_item

log = logging.getLogger(__name__)

OPEN_SECONDS = 5.0
# In one frame: below the 512 kB that a server takes.
_NAMES = 2000
_REQUESTS = 500
_SIGNAL_BYTES = 64 * 1024
# Signals that may wait while the owner does not read; what comes then is dropped.
_SIGNALS = 2000
# Responses that wait here; what comes then waits at the owner, which bounds it.
_RESPONSES = 4


class GrpcRelay:
    """`svc.kernel.relay.Relay` over gRPC."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def open(self, node: str, instance: Instance) -> "GrpcRelayStream":
        stub = DeliveryServiceStub(self._channels.at(instance.address))
        stream = GrpcRelayStream(self._channels.stream(stub.Relay))
        try:
            await stream.open(node)
        except BaseException:
            await stream.close()
            raise
        return stream


class ChoosingRelay:
    """`svc.kernel.relay.Relay`: straight to the instance in this process, over gRPC to all others."""

    def __init__(self, boot_id: str, local: Relay | None, remote: Relay) -> None:
        self._boot_id = boot_id
        self._local = local
        self._remote = remote

    async def open(self, node: str, instance: Instance) -> RelayStream:
        if self._local is not None and instance.boot_id == self._boot_id:
            return await self._local.open(node, instance)
        return await self._remote.open(node, instance)


class Upward:
    """What waits to be said to the owner. Bounded: by the conversations of the node, its requests in flight, and for signals
    by their number. Of two words on one conversation the newer counts; what waits goes together."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self._wanted: dict[str, bool] = {}
        self._unanswered: dict[int, api.UnansweredRequest] = {}
        self._signals: dict[tuple[str, str], api.Signal] = {}

    def want(self, conversation_ids: Sequence[str], wanted: bool) -> None:
        """Subscribe, or unsubscribe."""
        for conversation_id in conversation_ids:
            self._wanted.pop(conversation_id, None)
            self._wanted[conversation_id] = wanted
        self.ready.set()

    def unanswered(self, requests: Sequence[Unanswered]) -> None:
        """List requests that wait."""
        self._unanswered |= {request.request_id: from_unanswered(request) for request in requests}
        self.ready.set()

    def signal(self, signal: Signal) -> None:
        """The newest of a key counts."""
        key = (signal.conversation_id, signal.key)
        if key in self._signals or len(self._signals) < _SIGNALS:
            self._signals[key] = from_signal(signal)
            self.ready.set()

    def take(self) -> api.RelayRequest | None:
        """The next frame, or None when nothing waits. Signals wait for the rest: nobody hears one before the Ack."""
        request = api.RelayRequest()
        for request_id in list(self._unanswered)[:_REQUESTS]:
            request.unanswered.append(self._unanswered.pop(request_id))
        for conversation_id in list(self._wanted)[:_NAMES]:
            wanted = self._wanted.pop(conversation_id)
            (request.subscribe if wanted else request.unsubscribe).append(conversation_id)
        size = 0
        while self._signals and not self._wanted and size < _SIGNAL_BYTES:
            signal = self._signals.pop(next(iter(self._signals)))
            request.signals.append(signal)
            size += signal.ByteSize()
        return request if request.ByteSize() else None


class GrpcRelayStream:
    """One call. A task of its own writes what waits, another reads: cancelling a read of gRPC would end the call."""

    def __init__(self, call: grpc.aio.StreamStreamCall[api.RelayRequest, api.RelayResponse]) -> None:
        self._call = call
        self._upward = Upward()
        self._batches: asyncio.Queue[Sequence[Item] | None] = asyncio.Queue(_RESPONSES)
        self._tasks = AsyncExitStack()
        self._ended = False

    async def open(self, node: str) -> None:
        """Return when the owner has taken the node in. Raises Unavailable."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._call.write(api.RelayRequest(node=node))
                await self._call.initial_metadata()
            if self._call.done():
                raise Unavailable(f"the owner does not answer: {await self._call.details()}")
        except TimeoutError:
            raise Unavailable("the owner has not answered in time") from None
        except grpc.aio.AioRpcError as error:
            raise Unavailable(translate(error).message) from error
        except asyncio.CancelledError:
            if call_is_over():
                raise Unavailable("the owner left") from None
            raise
        await self._tasks.enter_async_context(owned(self._write(), "relay writer"))
        await self._tasks.enter_async_context(owned(self._read(), "relay reader"))

    def subscribe(self, conversation_ids: Sequence[str]) -> None:
        self._upward.want(conversation_ids, True)

    def unsubscribe(self, conversation_ids: Sequence[str]) -> None:
        self._upward.want(conversation_ids, False)

    def unanswered(self, requests: Sequence[Unanswered]) -> None:
        self._upward.unanswered(requests)

    def signal(self, signal: Signal) -> None:
        self._upward.signal(signal)

    async def receive(self) -> Sequence[Item]:
        items = None if self._ended else await self._batches.get()
        if items is None:
            await self.close()
            raise Unavailable("the relay stream has ended")
        return items

    async def close(self) -> None:
        self._ended = True
        self._call.cancel()
        await self._tasks.aclose()
        while not self._batches.empty():
            self._batches.get_nowait()
        self._batches.put_nowait(None)

    async def _write(self) -> None:
        try:
            while True:
                await self._upward.ready.wait()
                self._upward.ready.clear()
                while (request := self._upward.take()) is not None:
                    await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the call is over, as the reader hears, too

    async def _read(self) -> None:
        try:
            while isinstance(response := await self._call.read(), api.RelayResponse):
                if items := [to_item(item) for item in response.items]:
                    await self._batches.put(items)
        except grpc.aio.AioRpcError as error:
            log.debug("a relay stream broke", extra={"error": translate(error).message})
        except asyncio.CancelledError:
            if not call_is_over():
                raise
        except Exception:
            log.exception("a relay stream cannot be understood")
        await self._batches.put(None)
