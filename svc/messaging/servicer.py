"""How messaging is called: parse, one call of the node, answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from google.api.httpbody_pb2 import HttpBody

from stonechat.messaging.v1 import messaging_service_pb2 as api
from svc.kernel.calls import Call
from svc.kernel.errors import StonechatError, TokenExpired
from svc.kernel.lifecycle import owned
from svc.kernel.telemetry import Tracer
from svc.messaging.cursors import CursorSession, CursorSessions
from svc.messaging.node import LEAVING_SECONDS, Node
from svc.messaging.session import Session
from svc.messaging.stream import FrameReader
from svc.messaging.wire import (
    Change,
    joined_head,
    sent_fields,
    to_draft,
    to_known,
    to_mark,
    to_server_sent,
    to_server_sent_end,
    to_typing,
)

MAX_SECONDS = 60.0
_HEARTBEAT_SECONDS = 25.0


class MessagingServicer:
    """`stonechat.messaging.v1.MessagingService`."""

    def __init__(self, node: Node, cursors: CursorSessions, reader: FrameReader, tracer: Tracer) -> None:
        self._node = node
        self._cursors = cursors
        self._reader = reader
        self._tracer = tracer

    async def Connect(self, frames: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        await call.context.send_initial_metadata(())
        async with (
            self._node.session(call.caller) as session,
            owned(self._reader.read(session, frames), "stream reader", session.fail),
        ):
            async for frame in self._write(session):
                yield frame

    async def Subscribe(self, request: api.SubscribeRequest, call: Call) -> AsyncIterator[bytes]:
        known = to_known(request)
        async with (
            self._node.session(call.caller) as session,
            owned(self._hello(session, known), "hello", session.fail),
        ):
            session.heartbeats = True
            async for frame in self._write(session):
                yield frame

    async def _hello(self, session: Session, known: dict[str, int]) -> None:
        await self._node.open(session)
        await self._node.greet(session, known)

    async def StreamEvents(self, request: api.StreamEventsRequest, call: Call) -> AsyncIterator[HttpBody]:
        cursor = request.cursor or call.metadata.get("last-event-id", "")
        found = await self._cursors.resume(call.caller, cursor)
        holder = found.hold()
        found.session.carrier = task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a call runs in one
        # A client that does not read keeps the writer waiting: beyond the end of its token the call is reset.
        left = call.caller.expires_at - time.time()
        overdue = asyncio.get_running_loop().call_later(left + LEAVING_SECONDS, task.cancel)
        try:
            async for event in self._events(found, holder, call.caller.expires_at):
                yield event
        finally:
            overdue.cancel()
            if found.holder == holder:
                found.session.carrier = None

    async def _events(self, found: CursorSession, holder: int, ends_at: float) -> AsyncIterator[HttpBody]:
        # The first response comes at once: it has the cursor.
        frame = found.again() + found.take()
        try:
            while True:
                traces, began_ns = found.session.outbox.traces, time.time_ns()
                yield self._server_sent(found, frame)
                self._written(found.session, traces, began_ns)
                if (left := ends_at - time.time()) <= 0:
                    raise TokenExpired("the access token has expired: refresh it and resume by the cursor")
                frame = await self._next(found, holder, min(left, _HEARTBEAT_SECONDS))
                frame = frame or self._node.encoder.heartbeat()
        except StonechatError as error:
            # HTTP has no word for why a body ends, so the last event says it.
            yield to_server_sent_end(error)
            raise

    async def Poll(self, request: api.PollRequest, call: Call) -> bytes:
        found = await self._cursors.resume(call.caller, request.cursor)
        holder = found.hold()
        frame = found.again() + found.take()
        wait = call.time_remaining(float(request.wait_seconds)) if request.cursor and not found.reset else 0.0
        wait = min(wait, call.caller.expires_at - time.time())  # nothing is told after the end of the token
        if not frame and wait > 0:
            frame = await self._next(found, holder, wait)
        began_ns = time.time_ns()
        self._cursors.used(found)
        reset, found.reset = found.reset, False
        answer = joined_head(api.PollResponse, frame, cursor=found.cursor(), reset=reset)
        self._written(found.session, found.session.outbox.traces, began_ns)
        return answer

    async def _next(self, found: CursorSession, holder: int, wait: float) -> bytes:
        """What comes within so many seconds, or nothing."""
        try:
            async with asyncio.timeout(wait):
                while True:
                    found.check(holder)
                    self._cursors.used(found)
                    if frame := found.take():
                        return frame
                    await found.session.outbox.wait()
        except TimeoutError:
            return b""

    @staticmethod
    def _server_sent(found: CursorSession, frame: bytes) -> HttpBody:
        reset, found.reset = found.reset, False
        return to_server_sent(frame, found.cursor(), reset)

    async def _write(self, session: Session) -> AsyncIterator[bytes]:
        """The one writer of a stream: everything that waits goes in one write."""
        outbox = session.outbox
        while True:
            await outbox.wait()
            while frame := outbox.take():
                traces, began_ns = outbox.traces, time.time_ns()
                yield frame
                session.written_at = session.now
                self._written(session, traces, began_ns)
            if session.ended.is_set():
                if session.error is not None:
                    raise session.error
                return

    def _written(self, session: Session, traces: Sequence[str], began_ns: int) -> None:
        """The last hop of events that are traced: they are on their way to the client."""
        for traceparent in traces:
            self._tracer.span("write", traceparent, began_ns, time.time_ns(), user=session.user_id)

    async def SendMessage(self, request: api.SendMessageRequest, call: Call) -> api.SendMessageResponse:
        return api.SendMessageResponse(**await self._send(request, call))  # type: ignore[arg-type]

    async def EditMessage(self, request: api.EditMessageRequest, call: Call) -> api.EditMessageResponse:
        return api.EditMessageResponse(**await self._send(request, call))  # type: ignore[arg-type]

    async def WithdrawMessage(self, request: api.WithdrawMessageRequest, call: Call) -> api.WithdrawMessageResponse:
        return api.WithdrawMessageResponse(**await self._send(request, call))  # type: ignore[arg-type]

    async def React(self, request: api.ReactRequest, call: Call) -> api.ReactResponse:
        return api.ReactResponse(**await self._send(request, call))  # type: ignore[arg-type]

    async def _send(self, request: Change, call: Call) -> dict[str, str | int]:
        record, answer = await self._node.send(
            call.caller.user_id, to_draft(request), call.time_remaining(MAX_SECONDS), call.traceparent
        )
        return sent_fields(record.conversation_id, answer)

    async def MarkRead(self, request: api.MarkReadRequest, call: Call) -> api.MarkReadResponse:
        await self._node.mark_read(to_mark(call.caller.user_id, request))
        return api.MarkReadResponse()

    async def SendTyping(self, request: api.SendTypingRequest, call: Call) -> api.SendTypingResponse:
        await self._node.typing(call.caller.user_id, to_typing(request))
        return api.SendTypingResponse()
