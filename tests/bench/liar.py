"""A server that says what a test wants, over a real connection: h2 on a port of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.events

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from stonechat.messaging.v1.event_pb2 import Behind, ConversationHead, Event, HelloPage, Result, Sent
from stonechat.messaging.v1.messaging_service_pb2 import ConnectRequest, ConnectResponse
from tests.bench.h2_peer import message

CONVERSATION = "d.u1.u2"
Answer = Callable[["Session", ConnectRequest], None]


class Session(asyncio.Protocol):
    """One connection. `answer` is called for each frame of the client."""

    def __init__(self, answer: Answer, frames: list[ConnectRequest]) -> None:
        self._answer = answer
        self._frames = frames
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._http.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        for event in self._http.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._http.send_headers(1, [(":status", "200")])
            elif isinstance(event, h2.events.DataReceived):
                self._http.acknowledge_received_data(event.flow_controlled_length, 1)
                self._body += event.data
        while len(self._body) >= 5 and len(self._body) >= 5 + (length := int.from_bytes(self._body[1:5], "big")):
            frame = ConnectRequest.FromString(self._body[5 : 5 + length])
            self._body = self._body[5 + length :]
            self._frames.append(frame)
            self._answer(self, frame)
        self._flush()

    def tell(self, *events: Event) -> None:
        self._http.send_data(1, message(ConnectResponse(events=events).SerializeToString()))

    def babble(self) -> None:
        """A gRPC message that is no frame of the contract."""
        self._http.send_data(1, message(b"\xff\xff"))

    def refuse(self, *trailers: tuple[str, str]) -> None:
        self._http.send_headers(1, list(trailers), end_stream=True)

    def _flush(self) -> None:
        self.transport.write(self._http.data_to_send())


def hello(last_seq: int = 0) -> Event:
    """The answer to Hello: one conversation, or none."""
    heads = [ConversationHead(conversation_id=CONVERSATION, last_seq=last_seq)] if last_seq else []
    return Event(hello_page=HelloPage(conversations=heads, complete=True))


def pushed(seq: int, number: int, intended_ns: int = 0, sender: str = "u2") -> Event:
    """A message of the load."""
    body = Message(type="text", content=f"{number} {intended_ns} xxx")
    return Event(
        conversation_event=ConversationEvent(conversation_id=CONVERSATION, seq=seq, sender_id=sender, message=body)
    )


def behind(last_seq: int) -> Event:
    """Up to here nothing was pushed."""
    return Event(behind=Behind(conversation_id=CONVERSATION, last_seq=last_seq))


def sent(request: ConnectRequest) -> Event:
    """An acknowledgement."""
    return Event(result=Result(request_id=request.request_id, sent=Sent(conversation_id=CONVERSATION, seq=1)))


@asynccontextmanager
async def liar(answer: Answer) -> AsyncIterator[tuple[int, list[ConnectRequest]]]:
    """Its port, and the frames that it was sent."""
    frames: list[ConnectRequest] = []
    server = await asyncio.get_running_loop().create_server(lambda: Session(answer, frames), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], frames
    finally:
        server.close()
