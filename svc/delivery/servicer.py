"""How delivery is called by other services and by operators. Inner: the edge never routes here."""

import logging
from collections.abc import AsyncIterator, Iterable, Iterator

import grpc

from stonechat.delivery.v1 import delivery_service_pb2 as api
from svc.delivery.dead_letters import DeadLetters
from svc.delivery.streams import OwnerStream, OwnerStreams
from svc.delivery.wire import from_parked, from_unanswered, parked_record, to_item, to_signal
from svc.kernel.calls import Call
from svc.kernel.lifecycle import owned
from svc.kernel.relay import Item
from svc.kernel.validation import parse

log = logging.getLogger(__name__)

_PAGE = 100
_RESPONSE_BYTES = 1 << 20


class DeliveryServicer:
    """`stonechat.delivery.v1.DeliveryService`."""

    def __init__(self, streams: OwnerStreams, dead_letters: DeadLetters) -> None:
        self._streams = streams
        self._dead_letters = dead_letters

    async def Relay(self, frames: AsyncIterator[bytes], call: Call) -> AsyncIterator[api.RelayResponse]:
        first = parse(api.RelayRequest, await anext(frames, b""))
        stream = await self._streams.open(first.node)
        await call.context.send_initial_metadata(())  # the node knows by this that it was taken in
        _apply(stream, first)

        async def read() -> None:
            try:
                async for raw in frames:
                    _apply(stream, parse(api.RelayRequest, raw))
            except grpc.aio.BaseError as error:  # this server stops
                log.debug("a relay stream ends", extra={"error": repr(error)})
            finally:
                await stream.close()

        try:
            async with owned(read(), "relay reader"):
                while True:
                    for response in _responses(await stream.receive()):
                        yield response
        finally:
            await stream.close()

    async def ListDeadLetters(self, request: api.ListDeadLettersRequest, call: Call) -> api.ListDeadLettersResponse:
        count = min(request.page_size or _PAGE, 500)
        found = await self._dead_letters.page(request.page_token, count)
        following = found[-1].dead_letter_id if len(found) == count else ""
        return api.ListDeadLettersResponse(
            dead_letters=[from_parked(item) for item in found], next_page_token=following
        )

    async def GetDeadLetter(self, request: api.GetDeadLetterRequest, call: Call) -> api.GetDeadLetterResponse:
        return api.GetDeadLetterResponse(dead_letter=from_parked(await self._dead_letters.get(request.dead_letter_id)))

    async def ReplayDeadLetter(self, request: api.ReplayDeadLetterRequest, call: Call) -> api.ReplayDeadLetterResponse:
        parked = await self._dead_letters.get(request.dead_letter_id)
        partition, offset = await self._dead_letters.replay(parked_record(parked))
        return api.ReplayDeadLetterResponse(partition=partition, offset=offset)


def _responses(items: Iterable[Item]) -> Iterator[api.RelayResponse]:
    """The items in portions that any client of gRPC takes."""
    response, size = api.RelayResponse(), 0
    for item in map(to_item, items):
        if size + item.ByteSize() > _RESPONSE_BYTES and response.items:
            yield response
            response, size = api.RelayResponse(), 0
        response.items.append(item)
        size += item.ByteSize()
    yield response


def _apply(stream: OwnerStream, request: api.RelayRequest) -> None:
    if request.unanswered:
        stream.unanswered([from_unanswered(item) for item in request.unanswered])
    if request.unsubscribe:
        stream.unsubscribe(request.unsubscribe)
    if request.subscribe:
        stream.subscribe(request.subscribe)
    for signal in request.signals:
        stream.signal(to_signal(signal))
