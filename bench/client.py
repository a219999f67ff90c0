"""One user: a connection and a stream of its own, what it sent, what it was told. Counts all; comes back when it is cut."""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from google.rpc import code_pb2

from bench.http2 import End, GrpcStream
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import HelloPage, Result
from stonechat.messaging.v1.messaging_service_pb2 import ConnectRequest, Hello, SendMessageRequest
from stonechat_client.backoff import Backoff
from stonechat_client.errors import from_status
from stonechat_client.wire import CONNECT, Garbage, decode, encode

CONNECT_SECONDS = 10.0
_AT_ONCE = (
    64  # messages that are said again on a new stream before the first is answered, as the library of clients does
)


@dataclass(frozen=True, slots=True)
class Account:
    """A user who is signed in."""

    user_id: str
    token: str


@dataclass
class Tally:
    """What the clients of one process count together. Times are nanoseconds of the machine's monotonic clock."""

    window: tuple[int, int] = (0, 0)
    """Only messages intended in here are timed; all are counted."""
    sent: int = 0
    acked: int = 0
    delivered: int = 0
    """To others than the sender, each once."""
    sent_in_window: int = 0
    delivered_in_window: int = 0
    gaps: int = 0
    repeats: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Sends that were answered with an error for good, by its reason."""
    repeated: int = 0
    """Sends that were answered with an error that passes, and sent again."""
    endings: Counter[str] = field(default_factory=Counter)
    """How streams ended that nobody here had cut."""
    latency_us: list[int] = field(default_factory=list)
    """Intended send → delivered."""
    ack_us: list[int] = field(default_factory=list)
    """Intended send → acknowledged."""
    late_us: list[int] = field(default_factory=list)
    """Intended send → written: what the generator itself is late. It is in the two above."""


def connect_headers(host: str, port: int, account: Account) -> tuple[tuple[str, str], ...]:
    """Of the call that opens a stream."""
    return (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", CONNECT),
        (":authority", f"{host}:{port}"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("authorization", f"Bearer {account.token}"),
    )


class Client:
    """Opens its stream on `open`, and from then on whenever it has none, until `close`."""

    def __init__(self, host: str, port: int, account: Account, tally: Tally, on_up: Callable[["Client"], None]) -> None:
        self.account = account
        self.known: dict[str, int] = {}
        """The newest event of each conversation, pushed or announced."""
        self.holes: list[tuple[str, int, int]] = []
        """(conversation, first, last): stored, not pushed; to be pulled."""
        self.is_up = False
        self.up_at_ns = 0
        self._host, self._port = host, port
        self._tally = tally
        self._on_up = on_up
        self._stream: GrpcStream | None = None
        self._closing = False
        self._cut_here = False
        self._was_up = False
        self._backoff = Backoff()
        self._seen: set[int] = set()
        self._waiting: dict[int, tuple[int, bytes]] = {}  # request id → intended time, frame
        self._backlog: deque[int] = deque()  # those of them that were not said on this stream; bounded by the schedule
        self._retry: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None

    # ── the stream ──

    def open(self) -> None:
        """Begin; `on_up` is called when Hello is answered, each time that it is."""
        self._opening = asyncio.get_running_loop().create_task(self._open(), name="bench client opens")

    async def _open(self) -> None:
        headers = connect_headers(self._host, self._port, self.account)
        stream = GrpcStream(headers, self._message, self._ended)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(lambda: stream, self._host, self._port)
        except (OSError, TimeoutError) as error:
            self._ended(End(code_pb2.UNAVAILABLE, f"cannot connect: {type(error).__name__}"))
            return
        self._stream = stream
        hello = Hello()
        for conversation_id, last_seq in self.known.items():
            hello.known.add(conversation_id=conversation_id, last_seq=last_seq)
        stream.write(encode(ConnectRequest(hello=hello)))

    def cut(self) -> None:
        """Close the connection as a dead network does, and come back."""
        self.is_up = False
        if self._stream is not None:
            self._cut_here = True
            self._stream.abort()

    def close(self) -> None:
        """Leave for good."""
        self._closing = True
        if self._retry is not None:
            self._retry.cancel()
        if self._opening is not None:
            self._opening.cancel()
        if self._stream is not None:
            self._stream.cancel()

    def _ended(self, end: End) -> None:
        self._stream, self.is_up = None, False
        if self._closing:
            return
        refusal = None if end.details is None else from_status(end.details)
        delay = self._backoff.next_delay(refusal.retry_after if refusal is not None else None)
        if self._cut_here:
            self._cut_here, delay = False, 0.0
        else:
            self._tally.endings[f"{refusal.code} {refusal.reason}" if refusal is not None else str(end)] += 1
        self._retry = asyncio.get_running_loop().call_later(delay, self.open)

    # ── what is sent ──

    def begin(self, tally: Tally) -> None:
        """A new count: what was before is forgotten, but for how far each conversation is known."""
        self._tally = tally
        self.holes.clear()
        self._seen.clear()
        self._waiting.clear()
        self._backlog.clear()

    def send(self, to: str, number: int, intended_ns: int, padding: str) -> None:
        """Send message `number` (unique in the run), which was to be sent at `intended_ns`."""
        content = f"{number} {intended_ns} {padding}"
        message = SendMessageRequest(to=to, content=content, type="text", client_message_id=f"b{number}")
        frame = encode(ConnectRequest(request_id=number, send=message))
        tally = self._tally
        tally.sent += 1
        if tally.window[0] <= intended_ns < tally.window[1]:
            tally.sent_in_window += 1
            tally.late_us.append((time.monotonic_ns() - intended_ns) // 1000)
        self._waiting[number] = (intended_ns, frame)
        if self.is_up and self._stream is not None and not self._backlog:
            self._stream.write(frame)
        else:
            self._backlog.append(number)

    @property
    def unanswered(self) -> int:
        """Sends that have no answer yet."""
        return len(self._waiting)

    # ── what is told ──

    def _message(self, message: bytes) -> None:
        now = time.monotonic_ns()
        try:
            events = decode(message).events
        except Garbage as error:
            if self._stream is not None:
                self._stream.fail(code_pb2.INTERNAL, str(error))
            return
        for event in events:
            kind = event.WhichOneof("payload")
            if kind == "conversation_event":
                self._event(event.conversation_event, now)
            elif kind == "result":
                self._result(event.result, now)
            elif kind == "hello_page":
                self._page(event.hello_page)
            elif kind == "behind":
                self._behind(event.behind.conversation_id, event.behind.last_seq)

    def _event(self, event: ConversationEvent, now: int) -> None:
        tally = self._tally
        conversation_id, seq = event.conversation_id, event.seq
        last = self.known.get(conversation_id, 0)
        if seq <= last:
            tally.repeats += 1
            return
        if seq > last + 1:
            tally.gaps += 1
            self.holes.append((conversation_id, last + 1, seq - 1))
        self.known[conversation_id] = seq
        if event.sender_id == self.account.user_id or not (content := event.message.content):
            return
        number, intended, _ = content.split(" ", 2)
        if (key := int(number)) in self._seen:
            tally.repeats += 1
            return
        self._seen.add(key)
        tally.delivered += 1
        if tally.window[0] <= (intended_ns := int(intended)) < tally.window[1]:
            tally.delivered_in_window += 1
            tally.latency_us.append((now - intended_ns) // 1000)

    def _result(self, result: Result, now: int) -> None:
        waiting = self._waiting.get(result.request_id)
        if waiting is None:
            return
        if result.HasField("error"):
            error = from_status(result.error)
            if error.transient:  # whether it had its effect is unknown: say it again, under the same id
                self._tally.repeated += 1
                asyncio.get_running_loop().call_later(random.random(), self._again, result.request_id)
            else:
                del self._waiting[result.request_id]
                self._tally.refused[f"{error.code} {error.reason}"] += 1
            return
        del self._waiting[result.request_id]
        if self._backlog:
            self._say_next()
        self._tally.acked += 1
        if self._tally.window[0] <= waiting[0] < self._tally.window[1]:
            self._tally.ack_us.append((now - waiting[0]) // 1000)

    def _say_next(self) -> None:
        """One message of the backlog."""
        while self._backlog and self.is_up:
            if (number := self._backlog.popleft()) in self._waiting:
                return self._again(number)

    def _again(self, number: int) -> None:
        if self.is_up and self._stream is not None and number in self._waiting:
            self._stream.write(self._waiting[number][1])

    def _page(self, page: HelloPage) -> None:
        for head in page.conversations:
            if self._was_up:
                self._behind(head.conversation_id, head.last_seq)
            else:
                self.known[head.conversation_id] = max(head.last_seq, self.known.get(head.conversation_id, 0))
        if page.complete and self._stream is not None:
            self.is_up = self._was_up = True
            self.up_at_ns = time.monotonic_ns()
            self._backoff.reset()
            self._backlog = deque(self._waiting)  # under the same ids: what was stored is not stored again
            for _ in range(_AT_ONCE):
                self._say_next()
            self._on_up(self)

    def _behind(self, conversation_id: str, last_seq: int) -> None:
        last = self.known.get(conversation_id, 0)
        if last_seq > last:
            self.holes.append((conversation_id, last + 1, last_seq))
            self.known[conversation_id] = last_seq
