"""One user chatting on one device: what a session hands over becomes what there is to see; what is said goes out.

It knows neither widgets nor lines: the program on a terminal and the one in a pipe both stand on it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import Flag, auto

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event, HelloPage, ReadMark, Sent, TypingSignal
from stonechat_client.cache import Queued
from stonechat_client.chat import ids
from stonechat_client.chat.conversations import Conversations
from stonechat_client.chat.known import Known
from stonechat_client.chat.names import Names
from stonechat_client.chat.outgoing import Outgoing
from stonechat_client.chat.reading import Reading
from stonechat_client.chat.room import Room
from stonechat_client.client import Client, new_id
from stonechat_client.errors import CallFailed, ClientError, NotReachable
from stonechat_client.items import Delivered, Item, Refused, StateChanged
from stonechat_client.session import Session
from stonechat_client.state import State
from stonechat_client.timeline import TimelineMessage

PAGE = 100
"""Events read at a time."""
_NEWEST = 2**62
_LISTED = 1_000
_REMEMBERED = 100
_LAST = 20
_TELL_TYPING_SECONDS = 4.0
_SETTLE_SECONDS = 5.0


class NotPossible(Exception):
    """What the person asked for cannot be done. The text says what to do."""


class Change(Flag):
    """What looks different now."""

    STATE = auto()
    LIST = auto()
    ROOM = auto()


class Chat:
    """`run` takes everything the session hands over; `changed` is called with what looks different then, and `told` with each
    item after it was taken."""

    def __init__(
        self,
        client: Client,
        session: Session,
        known: Known,
        username: str,
        changed: Callable[[Change], None],
        told: Callable[[Item], Awaitable[None]],
    ) -> None:
        self.client = client
        self.session = session
        self.username = username
        self.user_id = client.user_id
        self.names = Names(client, known, username, lambda: changed(Change.LIST | Change.ROOM | Change.STATE))
        self.conversations = Conversations(client.user_id, asyncio.get_running_loop().time)
        self.room: Room | None = None
        self.state = StateChanged(session.state)
        self.outgoing = Outgoing()
        self._known = known
        self._changed = changed
        self._told = told
        self._reading = Reading(session)
        self._said = {queued.client_message_id: queued for queued in session.queued()}
        self._refused: dict[str, tuple[Queued, str]] = {}
        self._live = asyncio.Event()
        self._joined = asyncio.Event()
        self._told_typing_at = -_TELL_TYPING_SECONDS
        self._loading = asyncio.Lock()
        self._remember()
        for key in self._said:
            self.outgoing.expect(key)

    async def run(self) -> None:
        """Until the session ends. Raises SignedOut and CallFailed as the session does."""
        try:
            async with asyncio.TaskGroup() as tasks:
                others = [tasks.create_task(work()) for work in (self.names.run, self._reading.run, self._read_heads)]
                async for item in self.session:
                    self._take(item)
                    await self._told(item)
                for task in others:
                    task.cancel()
        except BaseExceptionGroup as group:
            # One of them has ended it; the others were cancelled for it.
            raise group.exceptions[0] from group
        finally:
            self._known.save()

    # What is said

    def say(self, content: str, client_message_id: str = "", to: str = "") -> str:
        """Put a message into the queue, for the open conversation or for `to`; returns its client message id. Raises
        InvalidRequest and QueueFull."""
        to = to or ids.address(self._open().conversation_id, self.user_id)
        key = self.session.queue(to, content, client_message_id)
        self.outgoing.expect(key)
        self._said[key] = Queued(key, to, content, time.time())
        conversation_id = ids.addressed(to, self.user_id)
        self.conversations.begin(conversation_id)
        if self.room is not None and self.room.conversation_id == conversation_id:
            self.room.say(key, content, datetime.now(UTC))
        self._told_typing_at = -_TELL_TYPING_SECONDS
        self._changed(Change.ROOM | Change.STATE)
        return key

    async def edit(self, message_id: str, content: str, key: str = "") -> Sent:
        """Replace the text of an own message of the open conversation; returns when that is stored. Raises ClientError."""
        key = key or new_id()
        return await self._change(key, self.session.edit(self._open().conversation_id, message_id, content, key))

    async def withdraw(self, message_id: str, key: str = "") -> Sent:
        """Take an own message back; as `edit`."""
        key = key or new_id()
        return await self._change(key, self.session.withdraw(self._open().conversation_id, message_id, key))

    async def toggle(self, message: TimelineMessage, emoji: str, key: str = "") -> Sent:
        """React to a message, or take that back if it is there already; as `edit`."""
        key, removed = key or new_id(), self.user_id in message.reactions.get(emoji, ())
        conversation_id = self._open().conversation_id
        return await self._change(
            key, self.session.react(conversation_id, message.message_id, emoji, key, removed=removed)
        )

    async def _change(self, key: str, change: Awaitable[Sent]) -> Sent:
        self.outgoing.expect(key)
        try:
            sent = await change
        except ClientError:
            self.outgoing.failed(key)
            raise
        self.outgoing.answered(key)
        return sent

    async def settle(self) -> None:
        """Before a change of what was just said: it gets its number with its acknowledgement. Waits for that, a moment, and
        not at all without a connection."""
        if self.session.state in (State.LIVE, State.CATCHING_UP):
            await self.outgoing.settle(_SETTLE_SECONDS)

    def unmade(self) -> int:
        """How many edits, withdrawals and reactions are not acknowledged. Unlike messages they end with the program."""
        return len(self.outgoing.unanswered - {queued.client_message_id for queued in self.waiting()})

    def dismiss(self, client_message_id: str) -> None:
        """The person has seen that a message was refused."""
        self._refused.pop(client_message_id, None)
        if self.room is not None:
            self.room.dismiss(client_message_id)
        self._changed(Change.ROOM)

    def types(self) -> None:
        """The person writes in the open conversation. Told at most every four seconds."""
        now = asyncio.get_running_loop().time()
        if self.room is not None and self.room.newest_seq and now - self._told_typing_at >= _TELL_TYPING_SECONDS:
            self._told_typing_at = now
            self.session.typing(self.room.conversation_id)

    def saw(self) -> None:
        """The person has seen the open conversation to its end."""
        if self.room is not None and self.room.newest_seq:
            self._reading.put(self.room.conversation_id, self.room.newest_seq)
            conversation = self.conversations.get(self.room.conversation_id)
            if conversation is not None and conversation.unread:
                self.conversations.read(self.room.conversation_id, self.room.newest_seq)
                self._changed(Change.LIST)

    def waiting(self) -> Sequence[Queued]:
        """Messages that are not acknowledged, oldest first."""
        return self.session.queued()

    # What is open

    def open(self, conversation_id: str) -> None:
        """Open a conversation, with what the cache has of it."""
        conversation = self.conversations.begin(conversation_id)
        begin = conversation.read_seq + 1 if conversation.unread else conversation.last_seq + 1
        room = Room(conversation_id, self.user_id, range(begin, conversation.last_seq + 1))
        room.older(self._kept(conversation_id, _NEWEST))
        room.read_by("", self._known.read.get(conversation_id, 0))
        for queued in [*self.waiting(), *(queued for queued, _ in self._refused.values())]:
            if ids.addressed(queued.to, self.user_id) == conversation_id:
                room.say(queued.client_message_id, queued.content, datetime.fromtimestamp(queued.queued_at, UTC))
        for key, (_, why) in self._refused.items():
            room.refused(key, why)
        self.room = room
        self._changed(Change.ROOM | Change.LIST)

    def close(self) -> None:
        """Leave the open conversation."""
        self.room = None
        self._changed(Change.ROOM | Change.LIST)

    async def older(self) -> bool:
        """Read a page from before what the open conversation shows. Returns whether there was one. Raises ClientError."""
        async with self._loading:
            room = self.room
            if room is None or room.complete:
                return False
            conversation = self.conversations.get(room.conversation_id)
            before = room.oldest_seq or (conversation.last_seq + 1 if conversation else 1)
            page = self._kept(room.conversation_id, before)
            if not page and before > 1:
                after = max(0, before - 1 - PAGE)
                answer = await self.client.list_events(room.conversation_id, after, before - 1 - after)
                page = answer.events
                room.complete = not page
            if not page:
                return False
            added = room.older(page)
            self._changed(Change.ROOM)
            return added

    async def read_heads(self) -> None:
        """Ask the server what is unread. Raises ClientError."""
        count = 0
        async for head in self.client.list_conversations():
            self.conversations.head(head)
            count += 1
            if count >= _LISTED:
                break
        self._changed(Change.LIST)

    async def until_joined(self, conversation_id: str, seconds: float) -> None:
        """Wait until the user is part of a conversation, but no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.conversations.get(conversation_id) is None:
                    self._joined.clear()
                    await self._joined.wait()

    def _open(self) -> Room:
        if self.room is None:
            raise NotPossible("no conversation is open")
        return self.room

    def _kept(self, conversation_id: str, before: int) -> Sequence[ConversationEvent]:
        """What the cache has just before a seq, oldest first."""
        page = self.client.cache.events(conversation_id, before, PAGE)
        return page[::-1] if page and before in (_NEWEST, page[0].seq + 1) else []

    def _remember(self) -> None:
        for conversation_id in self.client.cache.spans():
            if not ids.is_inbox(conversation_id):
                self.conversations.remember(conversation_id, self._kept(conversation_id, _NEWEST)[-_LAST:])

    # What happens

    def _take(self, item: Item) -> None:
        match item:
            case StateChanged():
                self.state = item
                if item.state is State.LIVE:
                    self._live.set()
                    self.names.ask_again()
                elif item.state is State.OFFLINE:
                    self.conversations.nobody_types()
                self._changed(Change.STATE | Change.LIST)
            case Delivered(key, sent):
                self.outgoing.answered(key)
                self._said.pop(key, None)
                if self.room is not None:
                    self.room.stored(key, sent)
                self._changed(Change.STATE | Change.ROOM)
            case Refused(key, error):
                self._was_refused(key, str(error))
            case Event():
                self._event(item)

    def _was_refused(self, key: str, why: str) -> None:
        self.outgoing.failed(key)
        if queued := self._said.pop(key, None):
            self._refused[key] = (queued, why)
            if len(self._refused) > _REMEMBERED:
                del self._refused[next(iter(self._refused))]
        if self.room is not None:
            self.room.refused(key, why)
        self._changed(Change.STATE | Change.ROOM)

    def _event(self, event: Event) -> None:
        match event.WhichOneof("payload"):
            case "conversation_event":
                self._happened(event.conversation_event)
            case "hello_page":
                self._heads(event.hello_page)
            case "typing":
                self._somebody_types(event.typing)
            case "read_mark":
                self._somebody_read(event.read_mark)

    def _happened(self, event: ConversationEvent) -> None:
        self.outgoing.seen(event.client_message_id)
        if ids.is_inbox(event.conversation_id):
            if event.HasField("joined"):
                self.conversations.begin(event.joined.conversation_id)
                self._joined.set()
            elif event.HasField("left"):
                self._gone(event.left.conversation_id)
            self._changed(Change.LIST)
            return
        if event.HasField("membership") and event.membership.name:
            self.names.call_group(event.conversation_id, event.membership.name)
        self.conversations.apply(event)
        change = Change.LIST
        if self.room is not None and self.room.conversation_id == event.conversation_id:
            if self.room.newest_seq and event.seq > self.room.newest_seq + 1:
                self.open(event.conversation_id)  # it was followed anew: begin with what is held now
            self.room.apply(event)
            change |= Change.ROOM | Change.STATE
        self._changed(change)

    def _gone(self, conversation_id: str) -> None:
        self.conversations.forget(conversation_id)
        if self.room is not None and self.room.conversation_id == conversation_id:
            self.close()

    def _heads(self, page: HelloPage) -> None:
        for head in page.conversations:
            if not ids.is_inbox(head.conversation_id):
                self.conversations.head(head)
        for conversation_id in page.gone:
            self._gone(conversation_id)
        self._changed(Change.LIST)

    async def _read_heads(self) -> None:
        """Once, when there is a connection: the server's page names only conversations in which something happened, and of
        the others, too, it is to be known what is unread."""
        while True:
            await self._live.wait()
            self._live.clear()
            with suppress(NotReachable, CallFailed):  # then with the next connection
                return await self.read_heads()

    def _somebody_types(self, signal: TypingSignal) -> None:
        self.conversations.types(signal.conversation_id, signal.user_id)
        self._changed(Change.LIST | Change.STATE)

    def _somebody_read(self, mark: ReadMark) -> None:
        if mark.user_id == self.user_id:
            self.conversations.read(mark.conversation_id, mark.seq)
            self._changed(Change.LIST)
            return
        self._known.read[mark.conversation_id] = max(mark.seq, self._known.read.get(mark.conversation_id, 0))
        if self.room is not None and self.room.conversation_id == mark.conversation_id:
            self.room.read_by(mark.user_id, mark.seq)
            self._changed(Change.ROOM)
