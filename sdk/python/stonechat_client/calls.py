"""Unary calls, and the channel that they and streams share."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
from google.protobuf.message import Message

from stonechat.users.v1 import user_service_pb2 as users
from stonechat_client.cache import Device
from stonechat_client.errors import CallFailed, NotReachable, SignedOut, from_rpc
from stonechat_client.rules import check
from stonechat_client.tokens import Tokens

R = TypeVar("R", bound=Message)
DEADLINE_SECONDS = 10.0

_OPTIONS = [
    # A connection that is gone without a word is noticed within 30 s. Left to itself gRPC looks at a silent one once a minute.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # How long to wait between attempts is decided here, not by the channel, which would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
]
_REFRESH = "/stonechat.users.v1.UserService/RefreshToken"


def to_address(server: str) -> str:
    """host:port of `http://host:port` or `host:port`. Raises ValueError saying what is expected."""
    parts = urlsplit(server if "://" in server else f"http://{server}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "http" or not parts.hostname or port is None or parts.path not in ("", "/"):
        raise ValueError(f"{server!r} is no server: expected http://host:port")
    return parts.netloc


class Calls:
    """Calls of one device, each with a deadline, checked before it is sent; a token that has ended is replaced once. `keep` is
    given the device whenever its tokens are new."""

    def __init__(self, server: str, keep: Callable[[Device], None]) -> None:
        self._channel = grpc.aio.insecure_channel(to_address(server), options=_OPTIONS)
        self.tokens = Tokens(self._refresh, keep)

    async def close(self) -> None:
        """End everything that is under way."""
        await self._channel.close(grace=None)

    async def public(self, path: str, request: Message, answer: type[R]) -> R:
        """Call without a token. Raises ClientError."""
        check(request)
        return await self._call(path, request, answer, ())

    async def proved(self, path: str, request: Message, answer: type[R], token: str) -> R:
        """Call with an access token that is not this device's. Raises ClientError."""
        check(request)
        return await self._call(path, request, answer, bearer(token))

    async def private(self, path: str, request: Message, answer: type[R]) -> R:
        """Call with the token of this device. Raises ClientError."""
        check(request)
        token = await self.tokens.access()
        try:
            return await self._call(path, request, answer, bearer(token))
        except CallFailed as error:
            if error.code != "UNAUTHENTICATED" or isinstance(error, SignedOut):
                raise
        return await self._call(path, request, answer, bearer(await self.tokens.renewed(token)))

    def stream(self, path: str, token: str) -> Any:
        """Open a bidirectional stream of bytes: a `grpc.aio.StreamStreamCall`, without a deadline."""
        return self._channel.stream_stream(path)(metadata=bearer(token))

    async def _call(self, path: str, request: Message, answer: type[R], metadata: Any) -> R:
        method = self._channel.unary_unary(path, request_serializer=_encode, response_deserializer=answer.FromString)
        try:
            answered: R | None = await method(request, timeout=DEADLINE_SECONDS, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        if answered is None:  # gRPC logs what cannot be decoded, and returns this
            raise NotReachable("the server's answer cannot be read")
        return answered

    async def _refresh(self, refresh_token: str) -> users.RefreshTokenResponse:
        request = users.RefreshTokenRequest(refresh_token=refresh_token)
        return await self.public(_REFRESH, request, users.RefreshTokenResponse)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata that proves who calls."""
    return (("authorization", f"Bearer {token}"),)


def _encode(message: Message) -> bytes:
    return message.SerializeToString()
