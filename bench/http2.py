"""One HTTP/2 connection with one gRPC stream on it, the client's side, as lean as Python allows.

A general library spends 100 µs and more on a message; this spends about 5, because a chat client needs so little of the
protocol: one stream, headers once, DATA frames from then on. https://www.rfc-editor.org/rfc/rfc9113 and
https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import asyncio
import base64
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote

import hpack
from google.protobuf.message import DecodeError
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE = 1, 2, 4
WINDOW = 65_535  # what we let the peer send before we read it: the protocol's default, so nothing has to be said
CREDIT_AT = WINDOW // 2  # give it back in large portions: a frame of its own for each message would double the frames
MAX_FRAME = 16_384
MAX_WAITING = 1 << 20  # what may wait for the peer's window
MAX_MESSAGE = 4 << 20
STREAM = 1
_DETAILS = "grpc-status-details-bin"
# What gRPC clients make of the error codes of RST_STREAM; all others are INTERNAL.
_OF_RESET = {
    7: code_pb2.UNAVAILABLE,
    8: code_pb2.CANCELLED,
    11: code_pb2.RESOURCE_EXHAUSTED,
    12: code_pb2.PERMISSION_DENIED,
}
_OF_HTTP = {
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.UNIMPLEMENTED,
} | dict.fromkeys((429, 502, 503, 504), code_pb2.UNAVAILABLE)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """An HTTP/2 frame. RFC 9113, 4.1."""
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3, "big"), kind, flags, stream.to_bytes(4, "big"), payload)


@dataclass(frozen=True, slots=True)
class End:
    """How a stream ended: a gRPC status. `details` is what a server of ours adds to it (retry delay, reason)."""

    code: int
    message: str
    details: Status | None = None

    def __str__(self) -> str:
        return f"{code_pb2.Code.Name(self.code)} {self.message}".strip()


class GrpcStream(asyncio.Protocol):
    """A call that was begun. `on_message` gets each message; `on_end` is called once, whatever happens, and last."""

    def __init__(
        self, headers: Sequence[tuple[str, str]], on_message: Callable[[bytes], None], on_end: Callable[[End], None]
    ) -> None:
        self._headers = headers
        self._on_message = on_message
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._ended = False
        self._decoder = hpack.Decoder(max_header_list_size=65_536)
        self._rest = b""  # the beginning of a frame whose end has not come
        self._message = bytearray()  # the beginning of a message whose end has not come
        self._block: bytearray | None = None  # a header block that CONTINUATION frames go on with
        self._block_ends_stream = False
        self._unread = 0  # bytes received for which the peer has no new credit yet
        self._answers: list[bytes] = []  # control frames, written once a wake-up
        self._initial_window = self._stream_window = self._connection_window = WINDOW
        self._waiting = bytearray()  # DATA that the peer has no room for

    # ── what the caller does ──

    def write(self, message: bytes) -> None:
        """Send a message; it waits here while the peer has no room. A peer that never makes room ends the stream."""
        if self._ended or self._transport is None:
            return
        length = len(message)
        size = length + 5
        if not self._waiting and size <= MAX_FRAME and size <= self._stream_window and size <= self._connection_window:
            self._stream_window -= size
            self._connection_window -= size
            # The header of a DATA frame on stream 1, then gRPC's: uncompressed, length.
            self._transport.write(
                b"%b\0\0\0\0\0\1\0%b%b" % (size.to_bytes(3, "big"), length.to_bytes(4, "big"), message)
            )
            return
        self._waiting += b"\0" + length.to_bytes(4, "big") + message
        if len(self._waiting) > MAX_WAITING:
            self.fail(code_pb2.UNAVAILABLE, "the peer does not read")
        else:
            self._send_waiting()

    def abort(self) -> None:
        """Cut the connection without a word. `on_end` is called soon."""
        if self._transport is not None:
            self._transport.abort()

    def cancel(self) -> None:
        """Reset the stream, as a client that cancels its call does, then close."""
        if self._transport is not None and not self._ended:
            self._transport.write(frame(RST_STREAM, 0, STREAM, (8).to_bytes(4, "big")))
            self.fail(code_pb2.CANCELLED, "cancelled here")

    def fail(self, code: int, message: str) -> None:
        """End it here and now, for a reason of ours."""
        self._end(End(code, message))

    def stop_reading(self) -> None:
        """From now on read nothing, as a client does that hangs."""
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on_reading(self) -> None:
        """The end of `stop_reading`."""
        if self._transport is not None:
            self._transport.resume_reading()

    # ── what the event loop tells ──

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = wire = cast(asyncio.Transport, transport)
        encoder = hpack.Encoder()
        encoder.header_table_size = 0  # headers go out once: nothing to remember, on either side
        settings = b"".join(
            key.to_bytes(2, "big") + value.to_bytes(4, "big")
            for key, value in ((HEADER_TABLE_SIZE, 0), (ENABLE_PUSH, 0))
        )
        self._decoder.max_allowed_table_size = 0
        block = encoder.encode(self._headers)
        wire.write(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(HEADERS, END_HEADERS, STREAM, block))

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 9 and not self._ended:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if length > MAX_FRAME:
                return self.fail(code_pb2.INTERNAL, f"a frame of {length} bytes: more than was allowed")
            after = at + 9 + length
            if after > end:
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == DATA and self._block is None:
                self._unread += length
                self._data(flags, data[at + 9 : after])
            else:
                self._control(
                    kind, flags, int.from_bytes(data[at + 5 : at + 9], "big") & 0x7FFF_FFFF, data[at + 9 : after]
                )
            at = after
        self._rest = data[at:]
        if self._ended:
            return None
        if self._unread >= CREDIT_AT:
            credit, self._unread = self._unread.to_bytes(4, "big"), 0
            self._answers += (frame(WINDOW_UPDATE, 0, 0, credit), frame(WINDOW_UPDATE, 0, STREAM, credit))
        if self._answers:
            assert self._transport is not None
            self._transport.write(b"".join(self._answers))
            self._answers.clear()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(code_pb2.UNAVAILABLE, f"the connection was lost{f': {exc}' if exc else ''}")

    # ── frames ──

    def _data(self, flags: int, payload: bytes) -> None:
        if flags & PADDED:
            if len(payload) <= (payload or b"\0")[0]:
                return self.fail(code_pb2.INTERNAL, "padding that is longer than its frame")
            payload = payload[1 : len(payload) - payload[0]]
        if self._message:
            self._message += payload
            payload = bytes(self._message)
            self._message.clear()
        at, end = 0, len(payload)
        while end - at >= 5 and not self._ended:
            length = int.from_bytes(payload[at + 1 : at + 5], "big")
            if payload[at] or length > MAX_MESSAGE:
                return self.fail(code_pb2.INTERNAL, "a message that is compressed, or longer than 4 MiB")
            after = at + 5 + length
            if after > end:
                break
            self._on_message(payload[at + 5 : after])
            at = after
        if at < end:
            self._message += payload[at:]
        if flags & END_STREAM:
            self.fail(code_pb2.INTERNAL, "the stream ended without a status")
        return None

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None and kind != CONTINUATION:
            return self.fail(code_pb2.INTERNAL, "a header block was interrupted")
        if kind == HEADERS:
            padding, start = (payload[:1] or b"\0", 1) if flags & PADDED else (b"\0", 0)
            start += 5 if flags & PRIORITY else 0
            self._block = bytearray(payload[start : len(payload) - padding[0]])
            self._block_ends_stream = bool(flags & END_STREAM)
        elif kind == CONTINUATION and self._block is not None:
            self._block += payload
        if kind in (HEADERS, CONTINUATION):
            if self._block is None:
                return self.fail(code_pb2.INTERNAL, "a header block without a beginning")
            return self._header_block(self._block, flags)
        if kind == SETTINGS and not flags & ACK:
            self._settings(payload)
            self._answers.append(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._answers.append(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._window_update(stream, int.from_bytes(payload, "big") & 0x7FFF_FFFF)
        elif kind == RST_STREAM and stream == STREAM:
            code = int.from_bytes(payload, "big")
            self.fail(_OF_RESET.get(code, code_pb2.INTERNAL), f"RST_STREAM with error code {code}")
        elif kind == GOAWAY and int.from_bytes(payload[:4], "big") & 0x7FFF_FFFF < STREAM:
            # Otherwise our stream may go on to its end: that is what a drain wants.
            self.fail(code_pb2.UNAVAILABLE, f"GOAWAY with error code {int.from_bytes(payload[4:8], 'big')}")
        return None

    def _header_block(self, block: bytearray, flags: int) -> None:
        if len(block) > 65_536:
            return self.fail(code_pb2.INTERNAL, "a header block of more than 64 KiB")
        if not flags & END_HEADERS:
            return None
        self._block = None
        try:
            headers = {str(name): str(value) for name, value in self._decoder.decode(bytes(block))}
        except (hpack.HPACKError, UnicodeDecodeError) as error:
            return self.fail(code_pb2.INTERNAL, f"a header block that cannot be read: {error}")
        if self._block_ends_stream or headers.get(":status", "200") != "200":
            self._end(_ending(headers))
        return None

    def _settings(self, payload: bytes) -> None:
        for at in range(0, len(payload) - 5, 6):
            if int.from_bytes(payload[at : at + 2], "big") == INITIAL_WINDOW_SIZE:
                window = int.from_bytes(payload[at + 2 : at + 6], "big")
                self._stream_window += window - self._initial_window
                self._initial_window = window
                self._send_waiting()

    def _window_update(self, stream: int, credit: int) -> None:
        if stream == 0:
            self._connection_window += credit
        elif stream == STREAM:
            self._stream_window += credit
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._transport is not None:
            # A window can be negative: settings may shrink it.
            size = min(len(self._waiting), self._stream_window, self._connection_window, MAX_FRAME)
            if size <= 0:
                return
            self._transport.write(frame(DATA, 0, STREAM, bytes(self._waiting[:size])))
            del self._waiting[:size]
            self._stream_window -= size
            self._connection_window -= size

    def _end(self, end: End) -> None:
        if self._ended:
            return
        self._ended = True
        if self._transport is not None:
            self._transport.close()
        self._on_end(end)


def _ending(headers: dict[str, str]) -> End:
    """The status in trailers, or in headers that are trailers at once."""
    if "grpc-status" not in headers:
        status = headers.get(":status", "")
        known = _OF_HTTP.get(int(status), code_pb2.UNKNOWN) if status.isdecimal() else code_pb2.UNKNOWN
        return End(known, f"HTTP status {status} without a gRPC status")
    text = headers["grpc-status"]
    code = int(text) if text.isdecimal() and int(text) in code_pb2.Code.values() else code_pb2.UNKNOWN
    details = None
    if raw := headers.get(_DETAILS):
        with contextlib.suppress(ValueError, DecodeError):  # broken details say nothing; the status stands
            details = Status.FromString(base64.b64decode(raw + "=" * (-len(raw) % 4)))
    return End(code, unquote(headers.get("grpc-message", "")), details)
