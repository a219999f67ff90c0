"""A running instance of every public service: a real grpc.aio server that answers by the contract, and tells its name."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import event_pb2
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.users.v1 import user_service_pb2 as users
from svc.kernel.errors import InvalidField, NotFound
from svc.kernel.status import DETAILS_KEY, to_status

_PRIVATE = Ed25519PrivateKey.from_private_bytes(b"stonechat test key".ljust(32, b"."))
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def token(user: str = "u1", seconds: float = 600.0, key: Ed25519PrivateKey = _PRIVATE, **claims: Any) -> str:
    """An access token, as the users service would sign it."""
    now = int(time.time())
    content = {"iss": "stonechat", "aud": "stonechat", "sub": user, "device": "d1", "iat": now, "exp": now + seconds}
    return jwt.encode({**content, **claims}, key, algorithm="EdDSA", headers={"kid": "k1"})


def bearer(user: str = "u1", **claims: Any) -> dict[str, str]:
    """The header that carries one."""
    return {"authorization": f"Bearer {token(user, **claims)}"}


def _jwks() -> bytes:
    raw = _PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    key = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k1", "alg": "EdDSA", "use": "sig"}
    return json.dumps({"keys": [key]}).encode()


@dataclass
class Running:
    """What a test sees of an instance."""

    name: str
    address: str
    health: health.aio.HealthServicer
    server: grpc.aio.Server
    failures: int = 0
    """So many calls of ListConversations it answers UNAVAILABLE first."""
    seen: dict[str, str] = field(default_factory=dict)
    """Metadata of the newest call."""
    flooded: int = 0
    """Bytes it could hand to StreamEvents with the cursor `flood`, which never ends."""

    async def health_is(self, status: Any) -> None:
        await self.health.set("", status)


@asynccontextmanager
async def instance(name: str) -> AsyncIterator[Running]:
    """Up for as long as the block lasts."""
    # Envoy's keepalive pings come more often than grpc's default allows.
    options = [("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(options=options)
    checks = health.aio.HealthServicer()
    running = Running(name, f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", checks, server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    await running.health_is(SERVING)
    reflection.enable_server_reflection([reflection.SERVICE_NAME], server)
    server.add_generic_rpc_handlers(tuple(_handlers(running)))
    await server.start()
    try:
        yield running
    finally:
        await server.stop(grace=None)


async def abort(context: Any, error: Any) -> None:
    """Answer as the services do."""
    details = to_status(error).SerializeToString()
    await context.abort(grpc.StatusCode[error.code], error.message, trailing_metadata=((DETAILS_KEY, details),))


def _handlers(running: Running) -> list[grpc.GenericRpcHandler]:
    def seen(context: Any) -> None:
        running.seen = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}

    async def jwks(request: Any, context: Any) -> HttpBody:
        return HttpBody(content_type="application/json", data=_jwks())

    async def list_conversations(request: Any, context: Any) -> Any:
        seen(context)
        if running.failures > 0:
            running.failures -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return history.ListConversationsResponse(next_page_token=running.name)

    async def send(request: Any, context: Any) -> Any:
        seen(context)
        if request.content == "denied":
            await abort(context, InvalidField("to", "must be a user or a group"))
        if request.content == "unavailable":
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        return messaging.SendMessageResponse(message_id=running.name, status="sent", seq=0)

    async def get_user(request: Any, context: Any) -> Any:
        seen(context)
        await abort(context, NotFound("no such user"))

    async def sign_in(request: Any, context: Any) -> Any:
        seen(context)
        return users.SignInResponse(user_id="u1", expires_in=900)

    async def connect(requests: Any, context: Any) -> AsyncIterator[Any]:
        seen(context)
        yield messaging.ConnectResponse(events=[_event(running.name)])
        async for request in requests:
            yield messaging.ConnectResponse(events=[_event(request.send.content)])

    async def stream_events(request: Any, context: Any) -> AsyncIterator[Any]:
        seen(context)
        while request.cursor == "flood":
            yield HttpBody(content_type="text/event-stream", data=b"x" * 16_384)
            running.flooded += 16_384
        for number in range(3):
            data = f'data: {{"cursor": "{running.name}.{number}"}}\n\n'
            yield HttpBody(content_type="text/event-stream", data=data.encode())

    async def subscribe(request: Any, context: Any) -> AsyncIterator[Any]:
        seen(context)
        yield messaging.SubscribeResponse(events=[_event(running.name)])

    def unary(behaviour: Any, request: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(behaviour, request.FromString, _encode)

    def server_stream(behaviour: Any, request: Any) -> Any:
        return grpc.unary_stream_rpc_method_handler(behaviour, request.FromString, _encode)

    def bidi(behaviour: Any, request: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(behaviour, request.FromString, _encode)

    return [
        grpc.method_handlers_generic_handler(
            "stonechat.users.v1.UserService",
            {
                "GetJwks": unary(jwks, users.GetJwksRequest),
                "GetUser": unary(get_user, users.GetUserRequest),
                "SignIn": unary(sign_in, users.SignInRequest),
            },
        ),
        grpc.method_handlers_generic_handler(
            "stonechat.history.v1.HistoryService",
            {"ListConversations": unary(list_conversations, history.ListConversationsRequest)},
        ),
        grpc.method_handlers_generic_handler(
            "stonechat.messaging.v1.MessagingService",
            {
                "Connect": bidi(connect, messaging.ConnectRequest),
                "StreamEvents": server_stream(stream_events, messaging.StreamEventsRequest),
                "Subscribe": server_stream(subscribe, messaging.SubscribeRequest),
                "SendMessage": unary(send, messaging.SendMessageRequest),
            },
        ),
    ]


def _encode(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _event(text: str) -> event_pb2.Event:
    return event_pb2.Event(behind=event_pb2.Behind(conversation_id=text))
