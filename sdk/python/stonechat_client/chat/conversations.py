"""All conversations of the user, as a list of them shows: what was said last, what is unread, who types. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import ConversationHead

TYPING_SECONDS = 6.0
"""How long a typing signal counts (contract)."""
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class Conversation:
    """One line of the list."""

    conversation_id: str
    last_seq: int = 0
    """The newest event that was heard of; 0 while there is none."""
    read_seq: int = 0
    """Up to where the user has read, as far as is known."""
    unread: int = 0
    """Messages of others above that, up to `counted`."""
    counted: int = 0
    at: datetime = _LONG_AGO
    """The time of the newest event, UTC."""
    said_by: str = ""
    said: str = ""
    """The newest message that was seen, and by whom; empty when none was, or it was withdrawn."""
    said_id: str = ""
    typing: dict[str, float] = field(default_factory=dict)
    """Users that write, and until when that counts."""


class Conversations:
    """The conversations, most recent first. `now` is a clock that never goes back, in seconds."""

    def __init__(self, user_id: str, now: Callable[[], float]) -> None:
        self._user_id = user_id
        self._now = now
        self._all: dict[str, Conversation] = {}

    def __iter__(self) -> Iterator[Conversation]:
        return iter(sorted(self._all.values(), key=lambda one: one.at, reverse=True))

    def __len__(self) -> int:
        return len(self._all)

    def get(self, conversation_id: str) -> Conversation | None:
        """One of them."""
        return self._all.get(conversation_id)

    def begin(self, conversation_id: str) -> Conversation:
        """One of them; a new one when it was not known."""
        return self._all.setdefault(conversation_id, Conversation(conversation_id))

    def forget(self, conversation_id: str) -> None:
        """The user is no longer part of it."""
        self._all.pop(conversation_id, None)

    def head(self, head: ConversationHead) -> None:
        """What the server says of one. Older than what was handed over meanwhile, it changes nothing but the mark."""
        one = self.begin(head.conversation_id)
        one.read_seq = max(one.read_seq, head.read_seq)
        if head.last_seq >= one.counted:
            one.counted = head.last_seq
            one.unread = 0 if one.read_seq >= head.last_seq else head.unread_count
        if head.last_seq >= one.last_seq and head.HasField("timestamp"):
            one.last_seq, one.at = head.last_seq, head.timestamp.ToDatetime(tzinfo=UTC)

    def remember(self, conversation_id: str, events: Sequence[ConversationEvent]) -> None:
        """The last events of a conversation that was held already, oldest first. What is unread of it is told by its head."""
        one = self.begin(conversation_id)
        one.counted = max(one.counted, events[-1].seq if events else 0)
        for event in events:
            self.apply(event)

    def apply(self, event: ConversationEvent) -> None:
        """An event was handed over."""
        one = self.begin(event.conversation_id)
        if event.seq > one.last_seq:
            one.last_seq, one.at = event.seq, event.timestamp.ToDatetime(tzinfo=UTC)
        if event.HasField("edit") and event.edit.message_id == one.said_id:
            one.said = event.edit.content
        elif event.HasField("withdrawal") and event.withdrawal.message_id == one.said_id:
            one.said = ""
        if not event.HasField("message"):
            return
        one.typing.pop(event.sender_id, None)
        one.said_by, one.said, one.said_id = event.sender_id, event.message.content, event.message_id
        if event.sender_id == self._user_id:
            self.read(event.conversation_id, event.seq)
        elif event.seq > one.counted:
            one.unread += event.seq > one.read_seq
            one.counted = event.seq

    def read(self, conversation_id: str, seq: int) -> None:
        """The user has read up to seq, here or on another device."""
        one = self.begin(conversation_id)
        one.read_seq = max(one.read_seq, seq)
        if seq >= one.counted:
            one.counted, one.unread = seq, 0

    def types(self, conversation_id: str, user_id: str) -> None:
        """Somebody writes."""
        one = self._all.get(conversation_id)
        if one is not None and user_id != self._user_id:
            one.typing[user_id] = self._now() + TYPING_SECONDS

    def nobody_types(self) -> None:
        """There is no connection: who writes is not known any more."""
        for one in self._all.values():
            one.typing.clear()

    def typists(self, conversation_id: str) -> list[str]:
        """Who writes now."""
        one, now = self._all.get(conversation_id), self._now()
        if one is None:
            return []
        one.typing = {user_id: until for user_id, until in one.typing.items() if until > now}
        return list(one.typing)
