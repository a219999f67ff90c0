"""gRPC: unary calls, Poll, and the Connect stream, whose frames carry the calls of messaging."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.messaging.v1.event_pb2 import Event
from stonechat_conformance.contract import METHODS, Method
from stonechat_conformance.refusal import Broken, Refused, from_details, from_status
from stonechat_conformance.surfaces.model import Batch, Network, Place, headers

CONNECT = "/stonechat.messaging.v1.MessagingService/Connect"
_POLL_SECONDS = 30


def refused(error: grpc.aio.AioRpcError) -> Refused:
    """What a failed call says."""
    found = dict((*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())))
    details = cast(bytes, found.get("grpc-status-details-bin", b""))
    return from_details(error.code().value[0], details, error.details() or "")


async def call_raw(network: Network, path: str, raw: bytes, token: str, *extra: tuple[str, str]) -> bytes:
    """A unary call with these very bytes."""
    try:
        call: Any = network.channel.unary_unary(path)
        answer: bytes = await call(raw, metadata=(*headers(token).items(), *extra))
    except grpc.aio.AioRpcError as error:
        raise refused(error) from None
    return answer


class GrpcUnary:
    """Calls, whatever their shape."""

    def __init__(self, network: Network) -> None:
        self.network = network

    @staticmethod
    def lacks(method: Method) -> str:
        return ""

    async def call(self, request: Message, token: str) -> Message:
        method = METHODS[type(request)]
        raw = request.SerializeToString()
        if method.client_streaming or method.server_streaming:
            return method.response_type.FromString(await self._first(method, raw, token))
        return method.response_type.FromString(await call_raw(self.network, method.path, raw, token))

    async def nonsense(self, method: Method, token: str) -> None:
        await call_raw(self.network, method.path, b"\xff\xff", token)

    async def _first(self, method: Method, raw: bytes, token: str) -> bytes:
        head = tuple(headers(token).items())
        if method.client_streaming:
            stream: Any = self.network.channel.stream_stream(method.path)(metadata=head)
        else:
            call: Any = self.network.channel.unary_stream(method.path)
            stream = call(raw, metadata=head)
        try:
            if method.client_streaming:
                await stream.initial_metadata()  # a write to a stream that was refused would hide why
                if not stream.done():
                    await stream.write(raw)
            if (answer := await stream.read()) is grpc.aio.EOF:
                if await stream.code() == grpc.StatusCode.OK:
                    raise Broken("a stream answers before it ends")
                raise refused(await _error_of(stream))
            return cast(bytes, answer)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            raise refused(await _error_of(stream)) from None
        finally:
            stream.cancel()


class GrpcPoll(GrpcUnary):
    """Poll, over gRPC."""

    resumes_by_cursor = True

    @staticmethod
    def lacks(method: Method) -> str:
        return "its frames are those of the native stream" if method.client_streaming else ""

    async def listen(self, token: str, place: Place) -> AsyncGenerator[Batch, None]:
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
        self._end: Refused | Broken | None = None  # of a stream that the server ended
        self._writing = asyncio.Lock()

    async def call(self, request: Message, token: str) -> Message:
        field = self._FIELDS.get(type(request))
        if field is None or (self._stream is None and self._end is None):
            return await super().call(request, token)
        response_type = METHODS[type(request)].response_type
        result: Any = await self.ask(messaging.ConnectRequest(**{field: request}))  # type: ignore[arg-type] # as _FIELDS says
        if result.WhichOneof("outcome") == "error":
            raise from_status(result.error)
        if result.WhichOneof("outcome") == "done":
            return response_type()
        sent = result.sent
        if not sent.timestamp.seconds > 0:
            raise Broken("a Result says where and when: Sent has a timestamp", came=str(result))
        answer_type: Any = response_type
        answer: Message = answer_type(
            message_id=sent.message_id, status=sent.status, conversation_id=sent.conversation_id, seq=sent.seq
        )
        return answer

    async def ask(self, frame: messaging.ConnectRequest) -> Message:
        """Send a frame on the stream and wait for its Result."""
        frame.request_id = next(self._ids)
        future = self._waiting[frame.request_id] = asyncio.get_running_loop().create_future()
        await self.write(frame)
        answer: Message = await future
        return answer

    async def exchange(self, frame: messaging.ConnectRequest, token: str, greet: bool = True) -> Event:
        """What comes of one frame on a stream of its own, after a Hello unless it is one (or `greet` is false).

        Its Result, or of a Hello the first event. Raises Refused.
        """
        hello = messaging.ConnectRequest(hello=messaging.Hello())
        frames = [hello, frame] if greet and not frame.HasField("hello") else [frame]
        stream: Any = self.network.channel.stream_stream(CONNECT)(metadata=tuple(headers(token).items()))
        try:
            await stream.initial_metadata()
            for each in frames:
                await stream.write(each.SerializeToString())
            while (raw := await stream.read()) is not grpc.aio.EOF:
                for event in messaging.ConnectResponse.FromString(raw).events:
                    if event.result.HasField("error"):
                        raise from_status(event.result.error)
                    if event.HasField("result") or frame.HasField("hello"):
                        return event
            raise Broken("a frame is answered, or ends the stream with a reason", came="an end without one")
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            raise refused(await _error_of(stream)) from None
        finally:
            stream.cancel()

    async def write(self, frame: messaging.ConnectRequest) -> None:
        """Send a frame on the stream. Raises how the stream ended, when it has."""
        async with self._writing:  # gRPC takes one at a time
            if self._end is not None:
                raise self._end
            try:
                await self._stream.write(frame.SerializeToString())
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
                raise Broken("the stream takes frames until it is ended", came=repr(error)) from None

    async def listen(self, token: str, place: Place) -> AsyncGenerator[Batch, None]:
        stream: Any = self.network.channel.stream_stream(CONNECT)(metadata=tuple(headers(token).items()))
        hello = messaging.Hello(
            known=[messaging.KnownConversation(conversation_id=name, last_seq=seq) for name, seq in place.known.items()]
        )
        self._end = None
        end: Refused | Broken = Broken("the stream stays open", came="its end, while a call waited for an answer")
        try:
            await stream.initial_metadata()
            if not stream.done():  # a write to a stream that was refused would hide why
                await stream.write(messaging.ConnectRequest(hello=hello).SerializeToString())
            self._stream = stream
            while (raw := await stream.read()) is not grpc.aio.EOF:
                events = messaging.ConnectResponse.FromString(raw).events
                yield Batch([event for event in events if not self._is_answer(event)])
            self._end = end
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            try:
                end = refused(await _error_of(stream))
            except Broken as broken:
                end = broken
            self._end = end
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
        future = self._waiting.pop(event.result.request_id, None)
        if future is None:
            raise Broken("a Result answers a frame that waits for one", came=str(event.result))
        if not future.done():
            future.set_result(event.result)
        return True


async def _error_of(stream: Any) -> grpc.aio.AioRpcError:
    """How a stream ended."""
    return grpc.aio.AioRpcError(
        await stream.code(), await stream.initial_metadata(), await stream.trailing_metadata(), await stream.details()
    )
