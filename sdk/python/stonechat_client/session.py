"""A session: sends, and hands over every event of every conversation once and in order, across any number of streams."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from stonechat.messaging.v1 import messaging_service_pb2 as api
from stonechat.messaging.v1.event_pb2 import Event, Sent
from stonechat_client.cache import Cache, Queued
from stonechat_client.calls import Calls
from stonechat_client.connector import Connector
from stonechat_client.errors import CallFailed, NotReachable, SignedOut
from stonechat_client.feed import Feed
from stonechat_client.inspection import is_name
from stonechat_client.items import Item
from stonechat_client.ledger import Ledger
from stonechat_client.problems import Problem, ProblemKind
from stonechat_client.puller import Puller
from stonechat_client.receiver import Receiver
from stonechat_client.renewal import Renewal
from stonechat_client.requests import Requests
from stonechat_client.send_queue import SendQueue
from stonechat_client.state import State
from stonechat_client.status import Status
from stonechat_client.stream import Stream
from stonechat_client.wire import CONNECT, Garbage

# What may wait to be taken by the program. What comes beyond it is left out, and pulled once there is room.
_ROOM = 1000
_EPHEMERAL = frozenset({"typing", "read_mark"})


class Session:
    """`async with client.connect() as session: async for item in session: …`

    Hands over (`items.Item`): of events conversation_event (once and in order for each conversation, whether pushed or
    pulled), hello_page (what differs from what was known), typing and read_mark (the newest counts; left out when the program
    is slow); StateChanged; Delivered and Refused for what was queued; Problem when the server does what it may not. It
    ends with SignedOut when no token is good any more, or with CallFailed when the server refuses the session for good.

    The program is done with an item when it asks for the next one, or leaves without an error. Then cache and ledger have it:
    what a program dies of, it is handed again by a later session on the same cache.
    """

    def __init__(self, calls: Calls, cache: Cache, ledger: Ledger, known: Mapping[str, int]) -> None:
        self._calls = calls
        self._feed: Feed[Item] = Feed(_ROOM, self._end)
        self._status = Status(self._feed.push)
        self._requests = Requests()
        ledger.begin(calls.tokens.user_id, calls.tokens.device_id)
        self._queue = SendQueue(cache, self.send, self._feed.push, lambda: self.state is State.LIVE)
        self._receiver = Receiver(calls.tokens.user_id, known, cache, ledger, self._feed, self._queue.seen)
        self._renewal = Renewal(calls.tokens, self._requests)
        self._connector = Connector(calls.tokens, self._one_stream, self._status, self._receiver.report)
        self._puller = Puller(calls, self._receiver, self._caught_up)
        self._stream: Stream | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        work: dict[str, Callable[[], Awaitable[None]]] = {
            "connector": self._connector.run,
            "puller": self._puller.run,
            "renewal": self._renewal.run,
            "queue": self._queue.run,
        }
        for name, run in work.items():
            task = asyncio.ensure_future(run())
            task.set_name(f"stonechat session {name}")
            task.add_done_callback(self._task_ended)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None:
            self._feed.done()
        self._end(None)

    def __aiter__(self) -> AsyncIterator[Item]:
        return self._feed

    @property
    def state(self) -> State:
        """The state the session is in now; each change comes as an item too."""
        return self._status.state

    @property
    def problems(self) -> Counter[ProblemKind]:
        """How often the server did what it may not, by kind."""
        return self._receiver.problems

    def queue(self, to: str, content: str, client_message_id: str = "") -> str:
        """Queue a message: it is sent when there is a connection, after those queued before it for the same `to`, also by a
        later session on the same cache. Returns its client_message_id; the outcome comes as Delivered or Refused. Raises
        InvalidRequest, QueueFull."""
        return self._queue.put(to, content, client_message_id)

    def queued(self) -> Sequence[Queued]:
        """What waits in the queue, oldest first."""
        return self._queue.waiting()

    async def send(self, to: str, content: str, client_message_id: str) -> Sent:
        """Send a message; returns when it is stored, however often the stream breaks meanwhile. Raises CallFailed."""
        message = api.SendMessageRequest(to=to, content=content, type="text", client_message_id=client_message_id)
        return await self._ask(api.ConnectRequest(send=message), client_message_id)

    async def edit(self, conversation_id: str, message_id: str, content: str, client_message_id: str) -> Sent:
        """Replace the text of an own message; as `send`."""
        edit = api.EditMessageRequest(
            conversation_id=conversation_id, message_id=message_id, content=content, client_message_id=client_message_id
        )
        return await self._ask(api.ConnectRequest(edit=edit), client_message_id)

    async def withdraw(self, conversation_id: str, message_id: str, client_message_id: str) -> Sent:
        """Take an own message back; as `send`."""
        withdrawal = api.WithdrawMessageRequest(
            conversation_id=conversation_id, message_id=message_id, client_message_id=client_message_id
        )
        return await self._ask(api.ConnectRequest(withdraw=withdrawal), client_message_id)

    async def react(
        self, conversation_id: str, message_id: str, emoji: str, client_message_id: str, *, removed: bool = False
    ) -> Sent:
        """React to a message, or take that back; as `send`."""
        reaction = api.ReactRequest(
            conversation_id=conversation_id,
            message_id=message_id,
            emoji=emoji,
            removed=removed,
            client_message_id=client_message_id,
        )
        return await self._ask(api.ConnectRequest(react=reaction), client_message_id)

    async def mark_read(self, conversation_id: str, seq: int) -> None:
        """Say that everything up to seq was read; as `send`."""
        mark = api.MarkReadRequest(conversation_id=conversation_id, seq=seq)
        await self._requests.ask(api.ConnectRequest(mark_read=mark))

    def typing(self, conversation_id: str) -> None:
        """Tell the others that the user writes. May be lost."""
        if self._stream is not None:
            self._stream.try_write(api.ConnectRequest(typing=api.SendTypingRequest(conversation_id=conversation_id)))

    async def _ask(self, frame: api.ConnectRequest, client_message_id: str) -> Sent:
        sent = (await self._requests.ask(frame)).sent
        if not (is_name(sent.conversation_id) and sent.message_id and 0 < sent.seq < 2**63):
            self._receiver.report(Problem(ProblemKind.GARBAGE, f"{client_message_id} was answered without a place"))
            raise CallFailed("INTERNAL", "", "the server answered without a place: whether it was done is unknown")
        self._receiver.sent(client_message_id, sent)
        return sent

    def _task_ended(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        state = State.SIGNED_OUT if isinstance(error, SignedOut) else State.CLOSED
        if self.state not in (State.SIGNED_OUT, State.CLOSED):
            self._status.set(state, str(error or ""))
            self._requests.end(error or NotReachable("the session was closed"))
            self._feed.end(error)
            for task in self._tasks:
                task.cancel()

    async def _one_stream(self, token: str) -> None:
        stream = Stream(self._calls.stream(CONNECT, token))
        known = [
            api.KnownConversation(conversation_id=conversation_id, last_seq=seq)
            for conversation_id, seq in self._receiver.begin().items()
        ]
        stream.write(api.ConnectRequest(request_id=0, hello=api.Hello(known=known)))
        self._queue.reconnecting()
        self._requests.begin(stream.write)
        self._renewal.stream_token = token
        self._stream = stream
        try:
            await stream.run(self._handle)
        except Garbage as error:
            self._receiver.report(Problem(ProblemKind.GARBAGE, str(error)))
            raise
        finally:
            self._stream = None
            self._requests.pause()

    def _handle(self, event: Event) -> None:
        payload = event.WhichOneof("payload")
        match payload:
            case "conversation_event":
                self._receiver.push(event)
            case "result":
                self._requests.answered(event.result)
            case "hello_page":
                self._receiver.greet(event.hello_page)
                self._feed.push(event)
                if event.hello_page.complete:
                    self._status.set(State.CATCHING_UP)
                    if self._stream is not None:
                        self._stream.greeted()
            case "behind":
                self._receiver.behind(event.behind.conversation_id, event.behind.last_seq)
            case _ if payload in _EPHEMERAL and self._feed.has_room():
                self._feed.push(event)
            case _:
                pass  # a heartbeat, or a kind that is newer than this library
        if self._status.is_up:
            self._caught_up()

    def _caught_up(self) -> None:
        if not self._status.is_up:
            return
        if self._receiver.is_behind:
            self._status.set(State.CATCHING_UP)
        elif self.state is not State.LIVE:
            self._status.set(State.LIVE)
            self._queue.went_live()
