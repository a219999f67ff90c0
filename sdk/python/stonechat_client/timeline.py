"""One conversation as a person sees it: messages in their newest form, who came and went, and what became of one's own
messages. Pure; no I/O."""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from stonechat.groups.v1.membership_pb2 import MembershipChange
from stonechat.history.v1.history_service_pb2 import Message as StoredMessage
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Sent

KEPT = 10_000
"""Items kept of a conversation, at least."""


class Delivery(Enum):
    """What became of an own message."""

    WAITING = "waiting"
    """Not acknowledged yet."""
    STORED = "stored"
    """It has its place; nothing is lost any more."""
    READ = "read"
    """Somebody else has read up to it."""
    REFUSED = "refused"
    """It will not be sent."""


@dataclass(frozen=True, slots=True)
class TimelineMessage:
    """A message. `seq` is 0, and `message_id` and `at` may be missing, while an own message has no place."""

    seq: int
    message_id: str
    client_message_id: str
    sender_id: str
    at: datetime | None
    """When it was sent, UTC."""
    content: str
    """Its newest text; empty when it was withdrawn."""
    edited: bool = False
    withdrawn: bool = False
    reactions: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Emoji to the ids of users, each in the order in which they came. History knows no reactions: those that were made
    before the session began are missing."""
    delivery: Delivery | None = None
    """None for messages of others."""
    why: str = ""
    """Why it was refused."""


@dataclass(frozen=True, slots=True)
class TimelineMembership:
    """Members of the group changed."""

    seq: int
    sender_id: str
    at: datetime
    change: MembershipChange


TimelineItem = TimelineMessage | TimelineMembership


@dataclass(slots=True)
class _Stored:
    """A message as it was first told of."""

    message_id: str
    client_message_id: str
    sender_id: str
    at: datetime
    content: str
    edited: bool = False
    withdrawn: bool = False

    def is_newer_than(self, other: "_Stored") -> bool:
        """Pages may come late: what was edited or withdrawn once does not go back."""
        return (self.withdrawn, self.edited) > (other.withdrawn, other.edited)


@dataclass(slots=True)
class _Changes:
    """What later events say of one message. It need not be known yet: a page of history may bring it."""

    content: str | None = None
    withdrawn: bool = False
    reactions: dict[str, dict[str, None]] = field(default_factory=dict)


@dataclass(slots=True)
class _Pending:
    content: str
    at: datetime | None
    refused: str | None = None


class Timeline:
    """Folds the events of one conversation, in the order in which a session hands them over, and pages of its history in
    any order. `user_id` is who looks at it. Saying something twice changes nothing.

    When it holds more than `kept` items the oldest leave, some time after; a page of history brings them back.
    """

    def __init__(self, user_id: str, kept: int = KEPT) -> None:
        self._user_id = user_id
        self._kept = kept
        self._conversation_id = ""
        self._order: list[int] = []
        self._stored: dict[int, _Stored | TimelineMembership] = {}
        self._seqs: dict[str, int] = {}  # by message id
        self._own: dict[str, int] = {}  # by client message id
        self._changes: dict[str, _Changes] = {}  # by message id
        self._pending: dict[str, _Pending] = {}  # by client message id
        self._read_by_others = 0

    def apply(self, event: ConversationEvent) -> int | None:
        """An event was handed over. Returns the seq of the item that is new or looks different now, None when there is none.
        Raises ValueError for an event of another conversation than the first one's."""
        self._conversation_id = self._conversation_id or event.conversation_id
        if event.conversation_id != self._conversation_id:
            raise ValueError(f"this timeline is of {self._conversation_id}, not of {event.conversation_id}")
        at = event.timestamp.ToDatetime(tzinfo=UTC)
        match event.WhichOneof("body"):
            case "message":
                # Without a type its content is gone: it was withdrawn before it was pulled.
                stored = _Stored(
                    event.message_id,
                    event.client_message_id,
                    event.sender_id,
                    at,
                    event.message.content,
                    withdrawn=not event.message.type,
                )
                self._put(event.seq, stored)
            case "membership":
                self._put(event.seq, TimelineMembership(event.seq, event.sender_id, at, event.membership))
            case "edit":
                changes = self._changed(event.edit.message_id)
                if event.edit.type:
                    changes.content = event.edit.content
                else:  # its content is gone: the message was withdrawn meanwhile
                    changes.withdrawn = True
                return self._seqs.get(event.edit.message_id)
            case "withdrawal":
                self._changed(event.withdrawal.message_id).withdrawn = True
                return self._seqs.get(event.withdrawal.message_id)
            case "reaction":
                self._react(event.sender_id, event.reaction.message_id, event.reaction.emoji, event.reaction.removed)
                return self._seqs.get(event.reaction.message_id)
            case _:
                return None
        self._trim()
        return event.seq

    def load(self, messages: Iterable[StoredMessage]) -> None:
        """A page of history, as `Client.list_messages` returns it. Nothing leaves because of it."""
        for message in messages:
            stored = _Stored(
                message.message_id,
                message.client_message_id,
                message.sender_id,
                message.timestamp.ToDatetime(tzinfo=UTC),
                message.content,
                message.edited,
                message.withdrawn,
            )
            self._put(message.seq, stored)

    def pending(self, client_message_id: str, content: str, at: datetime | None = None) -> None:
        """The user has said something that waits to be acknowledged. If it was refused before, it waits again."""
        if client_message_id not in self._own:
            self._pending[client_message_id] = _Pending(content, at)

    def stored(self, client_message_id: str, sent: Sent) -> int | None:
        """A pending message was acknowledged. Returns its seq; None when it is not pending any more, which is how it is when
        its event came first."""
        pending = self._pending.get(client_message_id)
        if pending is None:
            return None
        at = sent.timestamp.ToDatetime(tzinfo=UTC)
        self._put(sent.seq, _Stored(sent.message_id, client_message_id, self._user_id, at, pending.content))
        return sent.seq

    def refused(self, client_message_id: str, why: str) -> None:
        """A pending message will not be sent. It stays in sight until `dismiss`."""
        if (pending := self._pending.get(client_message_id)) is not None:
            pending.refused = why

    def dismiss(self, client_message_id: str) -> None:
        """Take a message that has no place out of sight."""
        self._pending.pop(client_message_id, None)

    def read_mark(self, user_id: str, seq: int) -> None:
        """A user has read up to seq."""
        if user_id != self._user_id:
            self._read_by_others = max(self._read_by_others, seq)

    def items(self) -> Sequence[TimelineItem]:
        """Everything there is to see: what has a place by seq, then own messages that have none, oldest first."""
        placed = [self._item(seq, self._stored[seq]) for seq in self._order]
        return placed + [self._waiting(name, pending) for name, pending in self._pending.items()]

    def item(self, seq: int) -> TimelineItem | None:
        """One item as it looks now."""
        stored = self._stored.get(seq)
        return None if stored is None else self._item(seq, stored)

    def _put(self, seq: int, stored: _Stored | TimelineMembership) -> None:
        before = self._stored.get(seq)
        if before is None:
            insort(self._order, seq)
        elif isinstance(before, _Stored) and isinstance(stored, _Stored) and before.is_newer_than(stored):
            return
        self._stored[seq] = stored
        if isinstance(stored, _Stored):
            self._seqs[stored.message_id] = seq
            if stored.sender_id == self._user_id and stored.client_message_id:
                self._own[stored.client_message_id] = seq
                self._pending.pop(stored.client_message_id, None)

    def _changed(self, message_id: str) -> _Changes:
        if len(self._changes) >= len(self._order) + self._kept:  # changes of messages that nobody has loaded
            self._changes = {name: changes for name, changes in self._changes.items() if name in self._seqs}
        return self._changes.setdefault(message_id, _Changes())

    def _react(self, user_id: str, message_id: str, emoji: str, removed: bool) -> None:
        reactions = self._changed(message_id).reactions
        users = reactions.setdefault(emoji, {})
        if removed:
            users.pop(user_id, None)
        else:
            users[user_id] = None
        if not users:
            del reactions[emoji]

    def _item(self, seq: int, stored: _Stored | TimelineMembership) -> TimelineItem:
        if isinstance(stored, TimelineMembership):
            return stored
        changes = self._changes.get(stored.message_id) or _Changes()
        withdrawn = stored.withdrawn or changes.withdrawn
        # An edit that was handed over is at least as new as any page of history, or a newer one is on its way.
        content = stored.content if changes.content is None else changes.content
        delivery = Delivery.READ if self._read_by_others >= seq else Delivery.STORED
        return TimelineMessage(
            seq,
            stored.message_id,
            stored.client_message_id,
            stored.sender_id,
            stored.at,
            "" if withdrawn else content,
            not withdrawn and (stored.edited or changes.content is not None),
            withdrawn,
            {} if withdrawn else {emoji: tuple(users) for emoji, users in changes.reactions.items()},
            delivery if stored.sender_id == self._user_id else None,
        )

    def _waiting(self, client_message_id: str, pending: _Pending) -> TimelineMessage:
        delivery, why = (Delivery.WAITING, "") if pending.refused is None else (Delivery.REFUSED, pending.refused)
        return TimelineMessage(
            0, "", client_message_id, self._user_id, pending.at, pending.content, delivery=delivery, why=why
        )

    def _trim(self) -> None:
        """A tenth at a time, so that it costs next to nothing for each event."""
        if len(self._order) > self._kept + self._kept // 10:
            for seq in self._order[: -self._kept]:
                self._drop(seq, self._stored.pop(seq))
            self._order = self._order[-self._kept :]

    def _drop(self, seq: int, stored: _Stored | TimelineMembership) -> None:
        if isinstance(stored, _Stored):
            self._seqs.pop(stored.message_id, None)
            self._changes.pop(stored.message_id, None)
            if self._own.get(stored.client_message_id) == seq:
                del self._own[stored.client_message_id]
