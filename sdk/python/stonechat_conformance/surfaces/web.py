"""grpc-web, binary and text (base64): unary calls, and Subscribe.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md: frames of flag, length, bytes; flag 0x80 marks the trailers.
"""

import base64
import contextlib
from collections.abc import AsyncGenerator, Mapping

import httpx
from google.protobuf.message import Message

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat_conformance.contract import METHODS, Method
from stonechat_conformance.refusal import Broken, from_details
from stonechat_conformance.surfaces.model import STREAM_SECONDS, Batch, Network, Place, headers

TRAILERS = 0x80


def frame(raw: bytes) -> bytes:
    """A message as it travels."""
    return b"\0" + len(raw).to_bytes(4, "big") + raw


class Frames:
    """Bytes in, whole frames out."""

    def __init__(self, text: bool) -> None:
        self._text = text
        self._encoded = b""
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are complete now, each with its flag."""
        if self._text:
            self._encoded += data
            whole = len(self._encoded) // 4 * 4
            # Each frame is padded on its own: padding may stand anywhere.
            data = b"".join(base64.b64decode(self._encoded[at : at + 4]) for at in range(0, whole, 4))
            self._encoded = self._encoded[whole:]
        self._buffer += data
        found = []
        while len(self._buffer) >= 5 and len(self._buffer) >= 5 + (size := int.from_bytes(self._buffer[1:5], "big")):
            found.append((self._buffer[0], self._buffer[5 : 5 + size]))
            self._buffer = self._buffer[5 + size :]
        return found


class GrpcWeb:
    """A browser. Binary over HTTP/2, text over HTTP/1.1, unless told."""

    resumes_by_cursor = False

    def __init__(self, network: Network, text: bool, http1: bool = False) -> None:
        self.network = network
        self._http: httpx.AsyncClient = network.http1 if text or http1 else network.http2
        self._text = text

    @staticmethod
    def lacks(method: Method) -> str:
        return "grpc-web has no stream of requests" if method.client_streaming else ""

    async def call(self, request: Message, token: str) -> Message:
        method = METHODS[type(request)]
        body = frame(request.SerializeToString())
        if method.server_streaming:
            async with contextlib.aclosing(self.stream_raw(method.path, body, token)) as messages:
                async for raw in messages:
                    return method.response_type.FromString(raw)
            raise Broken("a stream answers before it ends")
        return method.response_type.FromString(await self.call_raw(method.path, body, token))

    async def nonsense(self, method: Method, token: str) -> None:
        await self.call_raw(method.path, frame(b"\xff\xff"), token)

    async def call_raw(self, path: str, body: bytes, token: str, **extra: str) -> bytes:
        """A unary call with this very body."""
        answer = await self._http.post(path, headers=self._headers(token) | extra, content=self._encode(body))
        _check_head(answer)
        messages = self._messages(answer.headers, Frames(self._text).feed(answer.content))
        if len(messages) != 1:
            raise Broken("a unary answer has one message", expected=1, came=len(messages))
        return messages[0]

    async def listen(self, token: str, place: Place) -> AsyncGenerator[Batch, None]:
        request = messaging.SubscribeRequest(
            known=[messaging.KnownConversation(conversation_id=name, last_seq=seq) for name, seq in place.known.items()]
        )
        async for raw in self.stream_raw(METHODS[type(request)].path, frame(request.SerializeToString()), token):
            yield Batch(messaging.SubscribeResponse.FromString(raw).events)

    async def stream_raw(self, path: str, body: bytes, token: str) -> AsyncGenerator[bytes, None]:
        """The messages of a server stream that this very body opens."""
        frames = Frames(self._text)
        # A connection of its own: httpcore holds back answers on a connection where two streams are silent.
        async with (
            self.network.dial(timeout=STREAM_SECONDS, http1=self._text, http2=not self._text) as http,
            http.stream("POST", path, headers=self._headers(token), content=self._encode(body)) as answer,
        ):
            _check_head(answer)
            self._messages(answer.headers, [])
            async for chunk in answer.aiter_raw():
                for raw in self._messages({}, frames.feed(chunk)):
                    yield raw

    def _headers(self, token: str) -> dict[str, str]:
        kind = "application/grpc-web-text+proto" if self._text else "application/grpc-web+proto"
        return headers(token) | {"content-type": kind, "accept": kind, "x-grpc-web": "1"}

    def _encode(self, body: bytes) -> bytes:
        return base64.b64encode(body) if self._text else body

    @staticmethod
    def _messages(head: Mapping[str, str], frames: list[tuple[int, bytes]]) -> list[bytes]:
        """The messages among frames. Raises Refused when the head or the trailers say so."""
        _check_end(head)
        messages = []
        for flag, raw in frames:
            if flag & TRAILERS:
                lines = raw.decode().splitlines()
                _check_end(dict(line.split(":", 1) for line in lines))
            else:
                messages.append(raw)
        return messages


def _check_head(answer: httpx.Response) -> None:
    kind = answer.headers.get("content-type", "")
    if answer.status_code != 200 or not kind.startswith("application/grpc-web"):
        came = f"HTTP {answer.status_code}, {kind}"
        raise Broken("an answer to grpc-web is grpc-web, whatever it says", expected="HTTP 200", came=came)


def _check_end(trailers: Mapping[str, str]) -> None:
    code = int(trailers.get("grpc-status", "0"))
    if code:
        details = trailers.get("grpc-status-details-bin", "").strip()
        raise from_details(
            code, base64.b64decode(details + "=" * (-len(details) % 4)), trailers.get("grpc-message", "")
        )
