"""One device of a user: signed in, listening, and keeping books of what it is told.

It behaves as a client must: it counts, pulls where it is told that it is behind, and comes back when a server tells it to.
Whatever it keeps was pushed or pulled once and in order; the first hole or repeat ends the case.
"""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from google.protobuf.message import Message

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event
from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance.expect import must, must_equal
from stonechat_conformance.patience import Patience, call, unforeseen
from stonechat_conformance.refusal import Broken, NoAnswer, Refused
from stonechat_conformance.surfaces.model import Batch, Caller, Place, Surface
from stonechat_conformance.surfaces.native import Connect, GrpcUnary

T = TypeVar("T")


class Device:
    """What a case does on a device, and what the device knows."""

    _keys = itertools.count(1)

    def __init__(self, surface: Surface, session: users.SignInResponse, patience: Patience) -> None:
        self.surface = surface
        self.patience = patience
        self.user_id = session.user_id
        self.device_id = session.device_id
        self.token = session.access_token
        self.refresh_token = session.refresh_token
        self.place = Place()
        self.books: dict[str, list[ConversationEvent]] = {}
        self.seen: list[Event] = []  # everything it was told, in order
        self.resets = 0
        self.ended: BaseException | None = None
        self._broken: Broken | None = None
        self._from_now = False
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    @property
    def inbox(self) -> str:
        """The user's inbox conversation."""
        return f"inbox.{self.user_id}"

    # Listening

    async def listen(self, place: Place | None = None) -> "Device":
        """Open a session, from nothing known (or a place), and wait until it is told of everything that comes.

        Raises Refused when the session is; one that is asked to come back later does.
        """
        place = place or Place()
        while True:
            self.place = Place(dict(place.known), place.cursor)
            self.ended = None
            self._from_now = self.surface.resumes_by_cursor and not self.place.cursor
            opened = asyncio.Event()
            self._task = asyncio.create_task(self._listen(opened))
            await self.until(lambda: opened.is_set() or self.ended, "the session is open")  # noqa: B023 - runs now
            if opened.is_set() or self.ended is None:
                return self
            if not await self.patience.comes_back(self.ended):
                raise self.ended

    async def stop(self) -> None:
        """Leave without a word."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=self.patience.seconds)
            self._task = None

    async def resume(self) -> "Device":
        """Leave, and come back as a client does: by what is known, or by the cursor."""
        await self.stop()
        known = {name: book[-1].seq for name, book in self.books.items() if book}
        return await self.listen(Place(known, self.place.cursor))

    async def _listen(self, opened: asyncio.Event) -> None:
        try:
            while not await self._listened(opened):
                pass
        except Broken as broken:
            self._broken = broken
        except Exception as error:  # whatever a server does that is no server of this contract
            self._broken = Broken(f"the session goes on; {unforeseen(error)}")
        await self._tell()

    async def _listened(self, opened: asyncio.Event) -> bool:
        """Take what comes until the session ends; false when it is only to go on later, from the cursor."""
        try:
            async with contextlib.aclosing(self.surface.listen(self.token, self.place)) as batches:
                async for batch in batches:
                    await self._take(batch)
                    if self.surface.resumes_by_cursor or any(event.hello_page.complete for event in batch.events):
                        opened.set()
                    await self._tell()
            self.ended = EOFError("the stream ended without a word")
        except Refused as refused:
            if opened.is_set() and self.place.cursor and await self.patience.comes_back(refused):
                return False
            self.ended = refused
        return True

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _take(self, batch: Batch) -> None:
        self.place.cursor = batch.cursor
        self.resets += batch.reset
        for event in batch.events:
            self.seen.append(event)
            match event.WhichOneof("payload"):
                case "conversation_event":
                    self._keep(event.conversation_event)
                case "behind":
                    await self.pull(event.behind.conversation_id, event.behind.last_seq)
                case "hello_page":
                    for head in event.hello_page.conversations:
                        await self.pull(head.conversation_id, head.last_seq)

    async def pull(self, conversation_id: str, last_seq: int) -> None:
        """Read what a book lacks up to a seq."""
        book = self.books.setdefault(conversation_id, [])
        while (known := book[-1].seq if book else 0) < last_seq:
            request = history.ListEventsRequest(conversation_id=conversation_id, after_seq=known)
            answer = await self.call(request)
            for event in answer.events:
                if event.seq <= last_seq:
                    self._keep(event)
            must(answer.events, f"{conversation_id}: events above {known}, as {last_seq} was announced", "none")

    def _keep(self, event: ConversationEvent) -> None:
        book = self.books.setdefault(event.conversation_id, [])
        if book or not self._from_now:
            expected = book[-1].seq + 1 if book else 1
            must_equal(event.seq, expected, f"the next seq of {event.conversation_id}")
        grows = not book or event.timestamp.ToNanoseconds() > book[-1].timestamp.ToNanoseconds()
        must(grows, f"time grows strictly in {event.conversation_id}", event.timestamp)
        book.append(event)

    # Waiting

    async def until(self, condition: Callable[[], T | None], what: str) -> T:
        """Wait until a condition is true of this device, and return what it says."""
        try:
            async with asyncio.timeout(self.patience.seconds), self._changed:
                while True:
                    if self._broken:
                        raise self._broken
                    if found := condition():
                        return found
                    await self._changed.wait()
        except TimeoutError:
            told = [str(event).replace("\n", " ") for event in self.seen[-20:]]
            came = f"nothing of it. Ended: {self.ended!r}. Told: {told}"
            raise NoAnswer(f"within {self.patience.seconds:g} s: {what}", came=came) from None

    async def until_messages(self, conversation_id: str, contents: Iterable[str]) -> list[ConversationEvent]:
        """Wait until these messages, and no others since it first listened, stand in its book; returns their events."""
        expected = list(contents)
        await self.until(
            lambda: len(self.messages(conversation_id)) >= len(expected), f"{expected} in {conversation_id}"
        )
        found = [event for event in self.books[conversation_id] if event.WhichOneof("body") == "message"]
        must_equal([event.message.content for event in found], expected, f"the messages of {conversation_id}")
        return found

    async def until_event(self, conversation_id: str, body: str, count: int = 1) -> ConversationEvent:
        """Wait for the n-th event of a kind in a conversation."""

        def found() -> list[ConversationEvent]:
            return [event for event in self.books.get(conversation_id, []) if event.WhichOneof("body") == body]

        await self.until(lambda: len(found()) >= count, f"{count} times {body} in {conversation_id}")
        return found()[count - 1]

    async def until_told(self, payload: str, **fields: Any) -> Event:
        """Wait to be told of something that has no place in the order."""

        def find() -> Event | None:
            for event in self.seen:
                said = getattr(event, payload)
                if event.WhichOneof("payload") == payload and all(getattr(said, k) == v for k, v in fields.items()):
                    return event
            return None

        found = await self.until(find, f"{payload} {fields}")
        return found

    async def until_ended(self) -> BaseException:
        """Wait until the server has ended the session, and say how."""
        ended = await self.until(lambda: self.ended, "the session has ended")
        return ended

    def messages(self, conversation_id: str) -> list[str]:
        """The messages of a conversation as they were sent, in order."""
        book = self.books.get(conversation_id, [])
        return [event.message.content for event in book if event.WhichOneof("body") == "message"]

    # Calling

    async def call(self, request: Message) -> Any:
        """The answer to any request of the contract."""
        return await call(self.surface, request, self.token, self.patience)

    async def within(self, attempt: Awaitable[T]) -> T:
        """What comes of something that goes to the server, before the deadline."""
        async with asyncio.timeout(self.patience.seconds):
            return await attempt

    def key(self) -> str:
        """A client_message_id that was not used before."""
        return f"k{next(self._keys)}"

    async def send(self, to: str, content: str, key: str = "") -> Any:
        """Send a message."""
        request = messaging.SendMessageRequest(to=to, content=content, type="text", client_message_id=key or self.key())
        return await self.call(request)

    async def send_unary(self, to: str, content: str) -> Any:
        """Send a message, and not on the stream where the surface has one that carries sends."""
        unary: Caller = GrpcUnary(self.surface.network) if isinstance(self.surface, Connect) else self.surface
        request = messaging.SendMessageRequest(to=to, content=content, type="text", client_message_id=self.key())
        return await call(unary, request, self.token, self.patience)

    async def edit(self, sent: Any, content: str, key: str = "") -> Any:
        """Edit a message."""
        return await self.call(messaging.EditMessageRequest(content=content, **self._target(sent, key)))

    async def withdraw(self, sent: Any, key: str = "") -> Any:
        """Take a message back."""
        return await self.call(messaging.WithdrawMessageRequest(**self._target(sent, key)))

    async def react(self, sent: Any, emoji: str, removed: bool = False, key: str = "") -> Any:
        """React to a message."""
        return await self.call(messaging.ReactRequest(emoji=emoji, removed=removed, **self._target(sent, key)))

    def _target(self, sent: Any, key: str) -> dict[str, str]:
        return {
            "conversation_id": sent.conversation_id,
            "message_id": sent.message_id,
            "client_message_id": key or self.key(),
        }

    async def history(self, conversation_id: str, **window: Any) -> list[history.Message]:
        """A page of messages."""
        answer = await self.call(history.ListMessagesRequest(conversation_id=conversation_id, **window))
        return list(answer.messages)

    async def heads(self) -> dict[str, Any]:
        """The first page of the conversations."""
        answer = await self.call(history.ListConversationsRequest(page_size=200))
        return {head.conversation_id: head for head in answer.conversations}
