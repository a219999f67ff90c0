"""The open conversation: a run of its events without holes, up to the newest, and what waits to become one. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.timeline import Timeline, TimelineItem, TimelineMessage

_MOST = 5_000
"""Events held. What is older can be read again."""


@dataclass(frozen=True, slots=True)
class Said:
    """An own message whose event has not come yet."""

    content: str
    at: datetime
    sent: Sent | None = None
    refused: str | None = None


class Room:
    """The timeline of one conversation. Older pages are put in front of it; then all is folded again, because an old edit or
    reaction must not win over a newer one."""

    def __init__(self, conversation_id: str, user_id: str, unread: range = range(0)) -> None:
        self.conversation_id = conversation_id
        self.unread = unread
        """The seqs that were unread when it was opened."""
        self._user_id = user_id
        self._events: list[ConversationEvent] = []
        self._said: dict[str, Said] = {}
        self._read_by_others = 0
        self._timeline = Timeline(user_id)
        self.complete = False
        """Nothing came before what is here."""

    @property
    def oldest_seq(self) -> int:
        """The first event that is here; 0 when there is none."""
        return self._events[0].seq if self._events else 0

    @property
    def newest_seq(self) -> int:
        """The last one."""
        return self._events[-1].seq if self._events else 0

    @property
    def items(self) -> Sequence[TimelineItem]:
        """All there is to see, oldest first."""
        return self._timeline.items()

    def message(self, seq: int) -> TimelineMessage | None:
        """A message by its number."""
        found = self._timeline.item(seq)
        return found if isinstance(found, TimelineMessage) else None

    def last_message(self, own: bool) -> TimelineMessage | None:
        """The newest message that was not withdrawn and has its place; of the user alone when `own`."""
        for item in reversed(self.items):
            if not isinstance(item, TimelineMessage) or not item.seq or item.withdrawn:
                continue
            if not own or item.sender_id == self._user_id:
                return item
        return None

    def apply(self, event: ConversationEvent) -> None:
        """The next event. One that is here already, or does not follow, is left out: pages are read for that."""
        if self._events and event.seq != self.newest_seq + 1:
            return
        self._events.append(event)
        self._said.pop(event.client_message_id, None)
        self._timeline.apply(event)
        if len(self._events) > _MOST + _MOST // 10:
            self._events = self._events[-_MOST:]
            self.complete = False
            self._fold()

    def older(self, page: Sequence[ConversationEvent]) -> bool:
        """Put a page, oldest first, in front. Returns whether it fitted: it ends just before what is here."""
        if not page or (self._events and page[-1].seq + 1 != self.oldest_seq):
            return False
        self._events[:0] = page
        self.complete = self.complete or page[0].seq == 1
        for event in page:
            self._said.pop(event.client_message_id, None)
        self._fold()
        return True

    def say(self, client_message_id: str, content: str, at: datetime) -> None:
        """The user has said something, which waits."""
        self._said[client_message_id] = Said(content, at)
        self._timeline.pending(client_message_id, content, at)

    def stored(self, client_message_id: str, sent: Sent) -> None:
        """It has its place; its event comes."""
        if said := self._said.get(client_message_id):
            self._said[client_message_id] = replace(said, sent=sent)
            self._timeline.stored(client_message_id, sent)

    def refused(self, client_message_id: str, why: str) -> None:
        """It will not be sent."""
        if said := self._said.get(client_message_id):
            self._said[client_message_id] = replace(said, refused=why)
            self._timeline.refused(client_message_id, why)

    def dismiss(self, client_message_id: str) -> None:
        """The person has seen that it was refused."""
        self._said.pop(client_message_id, None)
        self._timeline.dismiss(client_message_id)

    def read_by(self, user_id: str, seq: int) -> None:
        """Somebody else has read up to seq."""
        self._read_by_others = max(self._read_by_others, seq)
        self._timeline.read_mark(user_id, seq)

    def _fold(self) -> None:
        self._timeline = Timeline(self._user_id)
        for event in self._events:
            self._timeline.apply(event)
        self._timeline.read_mark("", self._read_by_others)
        for client_message_id, said in self._said.items():
            self._timeline.pending(client_message_id, said.content, said.at)
            if said.sent is not None:
                self._timeline.stored(client_message_id, said.sent)
            if said.refused is not None:
                self._timeline.refused(client_message_id, said.refused)
