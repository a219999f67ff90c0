"""grpc-web, binary and text (base64): unary calls, and Subscribe.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md: frames of flag, length, bytes; flag 0x80 marks the trailers.
"""

import base64
from collections.abc import AsyncIterator, Mapping

import httpx
from google.protobuf.message import Message

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from tests.mesh.contract import METHODS
from tests.mesh.refusal import from_details
from tests.mesh.surfaces.model import Batch, Network, Place, headers

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
        self._url = network.url
        self._http: httpx.AsyncClient = network.http1 if text or http1 else network.http2
        self._text = text

    async def call(self, request: Message, token: str) -> Message:
        method = METHODS[type(request)]
        answer = await self.call_raw(method.path, frame(request.SerializeToString()), token)
        return method.response_type.FromString(answer)

    async def call_raw(self, path: str, body: bytes, token: str, **extra: str) -> bytes:
        """A unary call with this very body."""
        answer = await self._http.post(path, headers=self._headers(token) | extra, content=self._encode(body))
        messages = self._messages(answer.headers, Frames(self._text).feed(answer.content))
        assert len(messages) == 1
        return messages[0]

    async def listen(self, token: str, place: Place) -> AsyncIterator[Batch]:
        request = messaging.SubscribeRequest(
            known=[messaging.KnownConversation(conversation_id=name, last_seq=seq) for name, seq in place.known.items()]
        )
        async for raw in self.stream_raw(METHODS[type(request)].path, frame(request.SerializeToString()), token):
            yield Batch(messaging.SubscribeResponse.FromString(raw).events)

    async def stream_raw(self, path: str, body: bytes, token: str) -> AsyncIterator[bytes]:
        """The messages of a server stream that this very body opens."""
        frames = Frames(self._text)
        # A connection of its own: httpcore holds back answers on a connection where two streams are silent.
        async with (
            httpx.AsyncClient(
                base_url=self._url, trust_env=False, timeout=None, http1=self._text, http2=not self._text
            ) as http,
            http.stream("POST", path, headers=self._headers(token), content=self._encode(body)) as answer,
        ):
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


def _check_end(trailers: Mapping[str, str]) -> None:
    code = int(trailers.get("grpc-status", "0"))
    if code:
        details = trailers.get("grpc-status-details-bin", "").strip()
        raise from_details(
            code, base64.b64decode(details + "=" * (-len(details) % 4)), trailers.get("grpc-message", "")
        )
