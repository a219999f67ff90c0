"""gRPC: unary calls, Poll, and the Connect stream, whose frames carry the calls of messaging."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.message import Message

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.messaging.v1.event_pb2 import Event
from tests.mesh.contract import METHODS
from tests.mesh.refusal import Refused, from_details, from_status
from tests.mesh.surfaces.model import Batch, Network, Place, headers

CONNECT = "/stonechat.messaging.v1.MessagingService/Connect"
_POLL_SECONDS = 30


def refused(error: grpc.aio.AioRpcError) -> Refused:
    """What a failed call says."""
    found = dict((*error.initial_metadata(), *error.trailing_metadata()))
    return from_details(error.code().value[0], found.get("grpc-status-details-bin", b""), error.details() or "")


async def call_raw(network: Network, path: str, raw: bytes, token: str, *extra: tuple[str, str]) -> bytes:
    """A unary call with these very bytes."""
    try:
        return await network.channel.unary_unary(path)(raw, metadata=(*headers(token).items(), *extra))
    except grpc.aio.AioRpcError as error:
        raise refused(error) from None


class GrpcUnary:
    """Unary calls."""

    def __init__(self, network: Network) -> None:
        self.network = network

    async def call(self, request: Message, token: str) -> Message:
        method = METHODS[type(request)]
        answer = await call_raw(self.network, method.path, request.SerializeToString(), token)
        return method.response_type.FromString(answer)


class GrpcPoll(GrpcUnary):
    """Poll, over gRPC."""

    resumes_by_cursor = True

    async def listen(self, token: str, place: Place) -> AsyncIterator[Batch]:
        cursor, wait = place.cursor, 0  # the first answer, at once, shows that the session is there
        while True:
            answer: Any = await self.call(messaging.PollRequest(cursor=cursor, wait_seconds=wait), token)
            cursor, wait = answer.cursor, _POLL_SECONDS
            yield Batch(answer.events, cursor, answer.reset)


class Connect(GrpcUnary):
    """The stream of a native app. One at a time for each object."""

    resumes_by_cursor = False
    _FIELDS = {  # noqa: RUF012 - constant
        messaging.SendMessageRequest: "send",
        messaging.EditMessageRequest: "edit",
        messaging.WithdrawMessageRequest: "withdraw",
        messaging.ReactRequest: "react",
        messaging.MarkReadRequest: "mark_read",
        messaging.SendTypingRequest: "typing",
    }

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._stream: Any = None
        self._writing = asyncio.Lock()

    async def call(self, request: Message, token: str) -> Message:
        field = self._FIELDS.get(type(request))
        if field is None or self._stream is None:
            return await super().call(request, token)
        response_type = METHODS[type(request)].response_type
        result: Any = await self.ask(messaging.ConnectRequest(**{field: request}))
        if result.WhichOneof("outcome") == "error":
            raise from_status(result.error)
        if result.WhichOneof("outcome") == "done":
            return response_type()
        sent = result.sent
        assert sent.timestamp.seconds > 0
        return response_type(
            message_id=sent.message_id, status=sent.status, conversation_id=sent.conversation_id, seq=sent.seq
        )

    async def ask(self, frame: messaging.ConnectRequest) -> Message:
        """Send a frame on the stream and wait for its Result."""
        frame.request_id = next(self._ids)
        future = self._waiting[frame.request_id] = asyncio.get_running_loop().create_future()
        await self.write(frame)
        return await future

    async def write(self, frame: messaging.ConnectRequest) -> None:
        """Send a frame on the stream."""
        async with self._writing:  # gRPC takes one at a time
            await self._stream.write(frame.SerializeToString())

    async def listen(self, token: str, place: Place) -> AsyncIterator[Batch]:
        stream = self.network.channel.stream_stream(CONNECT)(metadata=tuple(headers(token).items()))
        hello = messaging.Hello(
            known=[messaging.KnownConversation(conversation_id=name, last_seq=seq) for name, seq in place.known.items()]
        )
        end = Refused("UNAVAILABLE", "stream ended")
        try:
            await stream.initial_metadata()
            if not stream.done():  # a write to a stream that was refused would hide why
                await stream.write(messaging.ConnectRequest(hello=hello).SerializeToString())
            self._stream = stream
            while (raw := await stream.read()) is not grpc.aio.EOF:
                events = messaging.ConnectResponse.FromString(raw).events
                yield Batch([event for event in events if not self._is_answer(event)])
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            end = refused(await _error_of(stream))
            raise end from None
        finally:
            self._stream = None
            stream.cancel()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(end)
                    future.exception()  # nobody need wait for it
            self._waiting.clear()

    def _is_answer(self, event: Event) -> bool:
        if event.WhichOneof("payload") != "result":
            return False
        future = self._waiting.pop(event.result.request_id)
        if not future.done():
            future.set_result(event.result)
        return True


async def _error_of(stream: Any) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        await stream.code(), await stream.initial_metadata(), await stream.trailing_metadata(), await stream.details()
    )
