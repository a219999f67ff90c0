"""The server's side of a `GrpcStream`: the h2 library, which refuses whatever breaks the protocol."""

import asyncio
from collections.abc import Iterable

import h2.config
import h2.connection
import h2.events
from h2.settings import SettingCodes

from bench.http2 import End, GrpcStream

HEADERS = ((":method", "POST"), (":scheme", "http"), (":path", "/service/Method"), (":authority", "server"))
STREAM = 1


class Line(asyncio.Transport):
    """A connection in memory: keeps what is written, and how it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.writes = 0
        self.closed = self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data
        self.writes += 1

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class Pair:
    """A call that was begun, and the server that answers it. Bytes move only when told to."""

    def __init__(self, settings: dict[SettingCodes, int] | None = None) -> None:
        self.messages: list[bytes] = []
        self.ends: list[End] = []
        self.line = Line()
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.server.initiate_connection()
        self.server.update_settings(settings or {})
        self.stream = GrpcStream(HEADERS, self.messages.append, self.ends.append)
        self.stream.connection_made(self.line)

    def to_server(self) -> list[h2.events.Event]:
        """Hand over what the client has written; what the server makes of it. Raises h2.exceptions.ProtocolError."""
        data = bytes(self.line.written)
        self.line.written.clear()
        return self.server.receive_data(data)

    def to_client(self, cuts: Iterable[int] = ()) -> None:
        """Hand over what the server has to say, in pieces of these lengths and the rest."""
        data = self.server.data_to_send()
        for length in cuts:
            self.stream.data_received(data[:length])
            data = data[length:]
        if data:
            self.stream.data_received(data)

    def begin(self) -> None:
        """Exchange settings, and answer with headers."""
        self.to_client()
        self.to_server()
        self.to_client()
        self.server.send_headers(STREAM, [(":status", "200"), ("content-type", "application/grpc")])

    def end(self, *trailers: tuple[str, str]) -> End:
        """Send trailers; how the client says that it ended."""
        self.server.send_headers(STREAM, list(trailers), end_stream=True)
        self.to_client()
        return self.ends[0]


def message(content: bytes) -> bytes:
    """A message as gRPC puts it into DATA frames."""
    return b"\0" + len(content).to_bytes(4, "big") + content
