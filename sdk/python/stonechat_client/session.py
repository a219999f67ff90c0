"""A session: sends, and hands over every event of every conversation once and in order, across any number of streams."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as api
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event, HelloPage, Sent
from stonechat_client.backoff import Backoff
from stonechat_client.calls import Calls
from stonechat_client.errors import CallFailed, ClientError, NotReachable, SignedOut
from stonechat_client.feed import Feed
from stonechat_client.positions import Positions
from stonechat_client.requests import Requests
from stonechat_client.stream import Stream

_CONNECT = "/stonechat.messaging.v1.MessagingService/Connect"
_LIST_EVENTS = "/stonechat.history.v1.HistoryService/ListEvents"
# What may wait to be taken by the program. What comes beyond it is left out, and pulled once there is room.
_ROOM = 1000
# Between two looks at the token, whatever the server says how long it lasts.
_LEAST_SECONDS = 0.5
_FOR_GOOD = frozenset({"INVALID_ARGUMENT", "PERMISSION_DENIED", "FAILED_PRECONDITION"})


@dataclass(frozen=True, slots=True)
class Connected:
    """The session is up: the server knows what we know, and has told what differs."""


@dataclass(frozen=True, slots=True)
class Reconnecting:
    """The stream has broken; the next attempt is made after so many seconds."""

    after_seconds: float
    why: str


Item = Event | Connected | Reconnecting


class Session:
    """`async with client.connect() as session: async for item in session: …`

    Of events it hands over conversation_event (once and in order for each conversation, whether pushed or pulled), hello_page
    (what differs from what was known), typing and read_mark (the newest counts; left out when the program is slow). It ends
    with SignedOut when no token is good any more, or with CallFailed when the server refuses the session for good.
    """

    def __init__(self, calls: Calls, known: Mapping[str, int]) -> None:
        self._calls = calls
        self._positions = Positions(known)
        self._requests = Requests()
        self._feed: Feed[Item] = Feed(_ROOM)
        self._missing = asyncio.Event()
        self._stream: Stream | None = None
        self._stream_token = ""
        self._up = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for work in (self._live, self._pull, self._renew):
            task = asyncio.create_task(work(), name=f"stonechat session {work.__name__}")
            task.add_done_callback(self._task_ended)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._requests.end(NotReachable("the session was closed"))
        self._feed.end()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self._feed

    async def send(self, to: str, content: str, client_message_id: str) -> Sent:
        """Send a message; returns when it is stored, however often the stream breaks meanwhile. Raises CallFailed."""
        message = api.SendMessageRequest(to=to, content=content, type="text", client_message_id=client_message_id)
        return (await self._requests.ask(api.ConnectRequest(send=message))).sent

    async def edit(self, conversation_id: str, message_id: str, content: str, client_message_id: str) -> Sent:
        """Replace the text of an own message; as `send`."""
        edit = api.EditMessageRequest(
            conversation_id=conversation_id, message_id=message_id, content=content, client_message_id=client_message_id
        )
        return (await self._requests.ask(api.ConnectRequest(edit=edit))).sent

    async def withdraw(self, conversation_id: str, message_id: str, client_message_id: str) -> Sent:
        """Take an own message back; as `send`."""
        withdrawal = api.WithdrawMessageRequest(
            conversation_id=conversation_id, message_id=message_id, client_message_id=client_message_id
        )
        return (await self._requests.ask(api.ConnectRequest(withdraw=withdrawal))).sent

    async def react(self, conversation_id: str, message_id: str, emoji: str, client_message_id: str) -> Sent:
        """React to a message; as `send`."""
        reaction = api.ReactRequest(
            conversation_id=conversation_id, message_id=message_id, emoji=emoji, client_message_id=client_message_id
        )
        return (await self._requests.ask(api.ConnectRequest(react=reaction))).sent

    async def mark_read(self, conversation_id: str, seq: int) -> None:
        """Say that everything up to seq was read; as `send`."""
        mark = api.MarkReadRequest(conversation_id=conversation_id, seq=seq)
        await self._requests.ask(api.ConnectRequest(mark_read=mark))

    def typing(self, conversation_id: str) -> None:
        """Tell the others that the user writes. May be lost."""
        if self._stream is not None:
            self._stream.try_write(api.ConnectRequest(typing=api.SendTypingRequest(conversation_id=conversation_id)))

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._requests.end(error)
            self._feed.end(error)

    async def _live(self) -> None:
        backoff, refused_token = Backoff(), ""
        while True:
            self._up = False
            try:
                if refused_token:
                    await self._calls.tokens.renewed(refused_token)
                await self._one_stream()
                delay, why = 0.0 if self._up else backoff.next_delay(), "the server asks to move"
            except ClientError as error:
                if self._up:
                    backoff.reset()
                    refused_token = ""
                if _is_final(error, again=refused_token not in ("", self._stream_token)):
                    raise
                if isinstance(error, CallFailed) and error.code == "UNAUTHENTICATED":
                    refused_token = self._stream_token
                asked = error.retry_after or 0.0 if isinstance(error, CallFailed) else 0.0
                delay, why = max(backoff.next_delay(), asked), str(error)
            if self._feed.has_room():
                self._feed.push(Reconnecting(delay, why))
            await asyncio.sleep(delay)

    async def _one_stream(self) -> None:
        self._stream_token = await self._calls.tokens.access()
        stream = Stream(self._calls.stream(_CONNECT, api.ConnectResponse, self._stream_token))
        known = [
            api.KnownConversation(conversation_id=conversation_id, last_seq=seq)
            for conversation_id, seq in self._positions.known().items()
        ]
        stream.write(api.ConnectRequest(request_id=0, hello=api.Hello(known=known)))
        self._requests.begin(stream.write)
        self._stream = stream
        try:
            await stream.run(self._handle)
        finally:
            self._stream = None
            self._requests.pause()

    def _handle(self, event: Event) -> None:
        match event.WhichOneof("payload"):
            case "conversation_event":
                self._pushed(event)
            case "result":
                self._requests.answered(event.result)
            case "hello_page":
                self._told(event.hello_page)
                self._feed.push(event)
                if event.hello_page.complete:
                    self._positions.settle()
                    self._up = True
                    self._feed.push(Connected())
            case "behind":
                self._exists(event.behind.conversation_id, event.behind.last_seq)
            case "typing" | "read_mark":
                if self._feed.has_room():
                    self._feed.push(event)
            case _:
                pass  # a heartbeat, or a kind that is newer than this library

    def _pushed(self, event: Event) -> None:
        pushed = event.conversation_event
        if self._positions.pushed(pushed.conversation_id, pushed.seq, self._feed.has_room()):
            self._feed.push(event)
            self._handed(pushed)
        else:
            self._wake(pushed.conversation_id)

    def _told(self, page: HelloPage) -> None:
        for conversation_id in page.gone:
            self._positions.forget(conversation_id)
        for head in page.conversations:
            self._exists(head.conversation_id, head.last_seq)

    def _handed(self, event: ConversationEvent) -> None:
        self._positions.handed(event.conversation_id, event.seq)
        match event.WhichOneof("body"):
            case "opened":
                self._exists(event.opened.conversation_id, 1)
            case "joined":
                self._positions.joined(event.joined.conversation_id, event.joined.seq)
                self._wake(event.joined.conversation_id)
            case "left":
                self._positions.forget(event.left.conversation_id)

    def _exists(self, conversation_id: str, seq: int) -> None:
        self._positions.exists(conversation_id, seq)
        self._wake(conversation_id)

    def _wake(self, conversation_id: str) -> None:
        if self._positions.next_missing(conversation_id) is not None:
            self._missing.set()

    async def _pull(self) -> None:
        backoff = Backoff()
        while True:
            await self._missing.wait()
            self._missing.clear()
            try:
                for conversation_id in self._positions.missing():
                    await self._pull_one(conversation_id)
                backoff.reset()
            except (NotReachable, CallFailed) as error:
                if isinstance(error, SignedOut):
                    raise
                self._missing.set()
                await asyncio.sleep(backoff.next_delay())

    async def _pull_one(self, conversation_id: str) -> None:
        while (following := self._positions.next_missing(conversation_id)) is not None:
            request = history.ListEventsRequest(conversation_id=conversation_id, after_seq=following - 1)
            try:
                answer = await self._calls.private(_LIST_EVENTS, request, history.ListEventsResponse)
            except CallFailed as error:
                if error.code != "NOT_FOUND":
                    raise
                self._positions.forget(conversation_id)  # no longer part of it
                return
            if not answer.events:
                self._positions.nothing_there(conversation_id)
            for event in answer.events:
                if event.seq == self._positions.next_missing(conversation_id):
                    await self._feed.put(Event(conversation_event=event))
                    self._handed(event)

    async def _renew(self) -> None:
        backoff = Backoff()
        while True:
            await asyncio.sleep(max(_LEAST_SECONDS, self._calls.tokens.seconds_left()))
            try:
                token = await self._calls.tokens.access()
                if token != self._stream_token:
                    await self._requests.ask_once(api.ConnectRequest(renew_token=api.RenewToken(access_token=token)))
                    self._stream_token = token
                backoff.reset()
            except SignedOut:
                raise
            except ClientError:
                await asyncio.sleep(backoff.next_delay())


def _is_final(error: ClientError, again: bool) -> bool:
    """Whether every other stream would end in the same way. `again`: a token that is newer than a refused one was refused.

    All else is a break, INTERNAL with RST_STREAM and UNKNOWN included: that is how a proxy ends streams.
    """
    if isinstance(error, SignedOut):
        return True
    return isinstance(error, CallFailed) and (error.code in _FOR_GOOD or (error.code == "UNAUTHENTICATED" and again))
