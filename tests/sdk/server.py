"""A server in memory, for one user: the calls that a session needs, over the real protocol, and ways to go wrong.

It keeps what a real one would: conversations, what each client_message_id became, which tokens are good.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.history.v1.history_service_pb2_grpc import HistoryServiceServicer, add_HistoryServiceServicer_to_server
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from stonechat.messaging.v1.event_pb2 import ConversationHead, Done, Event, HelloPage, Reconnect, Result, Sent
from stonechat.messaging.v1.messaging_service_pb2_grpc import (
    MessagingServiceServicer,
    add_MessagingServiceServicer_to_server,
)
from stonechat.users.v1 import user_service_pb2 as users
from stonechat.users.v1.user_service_pb2_grpc import UserServiceServicer, add_UserServiceServicer_to_server

USER, PEER = "u1", "u2"
DIRECT = "d.u1.u2"
INBOX = "inbox.u1"
Frames = asyncio.Queue[Event | grpc.StatusCode]


def status(code: str, reason: str, message: str = "") -> Status:
    """An error as services send them."""
    found = Status(code=code_pb2.Code.Value(code), message=message)
    found.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="stonechat"))
    return found


class Server(MessagingServiceServicer, HistoryServiceServicer, UserServiceServicer):
    """State that tests set and assert."""

    def __init__(self) -> None:
        self.conversations: dict[str, list[ConversationEvent]] = defaultdict(list)
        self.hidden: set[str] = set()
        self.streams: list[Frames] = []
        self.hellos: list[dict[str, int]] = []
        self.renewed: list[str] = []
        self.unrenewed = 0
        """So many renewals fail."""
        self.typed: list[str] = []
        self.answers = True
        self.refusals: list[Status] = []
        self.expires_in = 900
        self.signed_out: list[str] = []
        self.tokens_issued = 0
        self.ended_tokens: set[str] = set()
        self.revoked = False
        self.changed = asyncio.Condition()

    async def until(self, condition: Any) -> None:
        """Wait until something is true of this server."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(condition)

    async def post(self, text: str, conversation_id: str = DIRECT, push: int = 1, key: str = "") -> ConversationEvent:
        """Store a message, and push it so many times."""
        return await self.store(conversation_id, push, key, message=Message(type="text", content=text))

    async def store(self, conversation_id: str, push: int = 1, key: str = "", **body: Any) -> ConversationEvent:
        """Store an event, and push it so many times."""
        seq = len(self.conversations[conversation_id]) + 1
        event = ConversationEvent(
            conversation_id=conversation_id,
            seq=seq,
            timestamp=Timestamp(seconds=1_700_000_000 + seq),
            sender_id=USER if key else PEER,
            message_id=f"m{1000 + seq}.{seq}",
            client_message_id=key,
            **body,
        )
        self.conversations[conversation_id].append(event)
        for _ in range(push):
            await self.tell(Event(conversation_event=event))
        return event

    async def tell(self, event: Event | grpc.StatusCode) -> None:
        """Say something on every stream."""
        for stream in self.streams:
            stream.put_nowait(event)
        async with self.changed:
            self.changed.notify_all()

    async def cut(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        """End every stream."""
        streams, self.streams = self.streams, []
        for stream in streams:
            stream.put_nowait(code)

    async def move(self) -> None:
        """Ask every session to move."""
        await self.tell(Event(reconnect=Reconnect(after_ms=1)))

    async def Connect(self, requests: Any, context: Any) -> AsyncIterator[messaging.ConnectResponse]:
        await self._authenticate(context)
        frames: Frames = asyncio.Queue()
        reader = asyncio.create_task(self._read(requests, frames))
        try:
            while True:
                event = await frames.get()
                if event is grpc.StatusCode.OK:
                    return
                if isinstance(event, grpc.StatusCode):
                    await context.abort(event, "cut")
                yield messaging.ConnectResponse(events=[event])
        finally:
            reader.cancel()
            if frames in self.streams:
                self.streams.remove(frames)
            async with self.changed:
                self.changed.notify_all()

    async def _read(self, requests: AsyncIterator[messaging.ConnectRequest], frames: Frames) -> None:
        async for request in requests:
            match request.WhichOneof("frame"):
                case "hello":
                    known = {item.conversation_id: item.last_seq for item in request.hello.known}
                    self.hellos.append(known)
                    heads = [
                        ConversationHead(conversation_id=name, last_seq=len(events))
                        for name, events in self.conversations.items()
                        if len(events) != known.get(name, 0)
                    ]
                    frames.put_nowait(Event(hello_page=HelloPage(conversations=heads)))
                    frames.put_nowait(Event(hello_page=HelloPage(complete=True)))
                    self.streams.append(frames)
                case "send":
                    result = await self._send(request.send)
                    result.request_id = request.request_id
                    if self.answers:
                        frames.put_nowait(Event(result=result))
                case "renew_token":
                    self.renewed.append(request.renew_token.access_token)
                    result = Result(done=Done())
                    if self.unrenewed:
                        self.unrenewed -= 1
                        result = Result(error=status("UNAVAILABLE", "UNAVAILABLE"))
                    result.request_id = request.request_id
                    frames.put_nowait(Event(result=result))
                case "typing":
                    self.typed.append(request.typing.conversation_id)
            async with self.changed:
                self.changed.notify_all()

    async def _send(self, request: messaging.SendMessageRequest) -> Result:
        if self.refusals:
            return Result(error=self.refusals.pop(0))
        for stored in self.conversations[request.to]:
            if stored.client_message_id == request.client_message_id:
                return _sent(stored)
        stored = await self.post(request.content, request.to, key=request.client_message_id)
        return _sent(stored)

    async def ListEvents(self, request: history.ListEventsRequest, context: Any) -> history.ListEventsResponse:
        await self._authenticate(context)
        if request.conversation_id in self.hidden:
            await self._abort(context, status("NOT_FOUND", "NOT_FOUND"))
        events = self.conversations[request.conversation_id]
        after = request.after_seq
        return history.ListEventsResponse(events=events[after : after + 3], last_seq=len(events))

    async def SignIn(self, request: users.SignInRequest, context: Any) -> users.SignInResponse:
        if request.password != "password":
            await self._abort(context, status("UNAUTHENTICATED", "WRONG_CREDENTIALS", "wrong"))
        return users.SignInResponse(**self._pair())

    async def RevokeDevice(self, request: users.RevokeDeviceRequest, context: Any) -> users.RevokeDeviceResponse:
        await self._authenticate(context)
        self.signed_out.append(request.device_id)
        return users.RevokeDeviceResponse()

    async def RefreshToken(self, request: users.RefreshTokenRequest, context: Any) -> users.RefreshTokenResponse:
        if self.revoked:
            await self._abort(context, status("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID"))
        return users.RefreshTokenResponse(**self._pair())

    def _pair(self) -> dict[str, Any]:
        self.tokens_issued += 1
        return {
            "user_id": USER,
            "device_id": "device",
            "access_token": f"access-{self.tokens_issued}",
            "refresh_token": f"refresh-{self.tokens_issued}",
            "expires_in": self.expires_in,
        }

    async def _authenticate(self, context: Any) -> None:
        token = dict(context.invocation_metadata()).get("authorization", "").removeprefix("Bearer ")
        if self.revoked or token in self.ended_tokens or not token:
            # The edge checks tokens too, and its answer has no details of ours.
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "Jwt is expired")

    @staticmethod
    async def _abort(context: Any, error: Status) -> None:
        code = grpc.StatusCode[code_pb2.Code.Name(error.code)]
        details = (("grpc-status-details-bin", error.SerializeToString()),)
        await context.abort(code, error.message, trailing_metadata=details)


def _sent(event: ConversationEvent) -> Result:
    place = Sent(
        message_id=event.message_id, seq=event.seq, conversation_id=event.conversation_id, timestamp=event.timestamp
    )
    return Result(sent=place)


@asynccontextmanager
async def serving(server: Server, port: int = 0, raw_connect: bool = False) -> AsyncIterator[int]:
    """Serve on a loopback port, and say on which. `raw_connect`: Connect yields bytes, whatever they are."""
    grpc_server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    if raw_connect:
        handler = grpc.stream_stream_rpc_method_handler(server.Connect, messaging.ConnectRequest.FromString)
        service = grpc.method_handlers_generic_handler("stonechat.messaging.v1.MessagingService", {"Connect": handler})
        grpc_server.add_generic_rpc_handlers((service,))
    else:
        add_MessagingServiceServicer_to_server(server, grpc_server)
    add_HistoryServiceServicer_to_server(server, grpc_server)
    add_UserServiceServicer_to_server(server, grpc_server)
    bound = grpc_server.add_insecure_port(f"127.0.0.1:{port}")
    await grpc_server.start()
    try:
        yield bound
    finally:
        server.streams.clear()
        await grpc_server.stop(grace=None)
