"""A cache that ends with the program."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat_client.cache.change import change
from stonechat_client.cache.port import Device, Queued, Span, WrongUser

KEPT = 200
"""Events kept of each conversation."""


@dataclass(slots=True)
class _Held:
    first: int
    last: int
    kept: deque[ConversationEvent] = field(default_factory=lambda: deque(maxlen=KEPT))

    def at(self, seq: int) -> ConversationEvent | None:
        index = seq - 1 - self.last + len(self.kept)
        return self.kept[index] if 0 <= index < len(self.kept) else None


class MemoryCache:
    """Keeps the newest 200 events of each conversation."""

    def __init__(self) -> None:
        self._user_id = ""
        self._device: Device | None = None
        self._held: dict[str, _Held] = {}
        self._queue: dict[str, Queued] = {}

    def belong_to(self, user_id: str) -> None:
        if self._user_id not in ("", user_id):
            raise WrongUser(f"this cache belongs to {self._user_id}, not to {user_id}")
        self._user_id = user_id

    def device(self) -> Device | None:
        return self._device

    def keep_device(self, device: Device | None) -> None:
        self._device = device

    def spans(self) -> Mapping[str, Span]:
        return {name: Span(held.first, held.last) for name, held in self._held.items()}

    def begin(self, conversation_id: str, first: int) -> None:
        self._held.pop(conversation_id, None)
        self._held[conversation_id] = _Held(first, first)

    def add(self, event: ConversationEvent) -> None:
        held = self._held.get(event.conversation_id)
        if held is None or event.seq != held.last + 1:
            raise ValueError(f"{event.conversation_id} {event.seq} is not the next event")
        del self._held[event.conversation_id]  # moves to the end of the order
        self._held[event.conversation_id] = held
        held.last = event.seq
        own = ConversationEvent()
        own.CopyFrom(event)  # the program has the other
        held.kept.append(own)
        change(own, held.at)
        if event.sender_id == self._user_id and event.HasField("message"):
            self._queue.pop(event.client_message_id, None)
        if event.HasField("withdrawal"):  # what the message said in between goes too
            for kept in held.kept:
                if kept.edit.message_id == event.withdrawal.message_id:
                    kept.edit.ClearField("type")
                    kept.edit.ClearField("content")

    def forget(self, conversation_id: str) -> None:
        self._held.pop(conversation_id, None)

    def event(self, conversation_id: str, seq: int) -> ConversationEvent | None:
        held = self._held.get(conversation_id)
        return held.at(seq) if held else None

    def events(self, conversation_id: str, before: int, limit: int) -> Sequence[ConversationEvent]:
        held = self._held.get(conversation_id)
        kept = [event for event in reversed(held.kept) if event.seq < before] if held else []
        return kept[:limit]

    def enqueue(self, message: Queued) -> None:
        self._queue.setdefault(message.client_message_id, message)

    def queued(self) -> Sequence[Queued]:
        return list(self._queue.values())

    def tried(self, client_message_id: str, at: float) -> None:
        message = self._queue.get(client_message_id)
        if message is not None and not message.tried_at:
            self._queue[client_message_id] = replace(message, tried_at=at)

    def dequeue(self, client_message_id: str) -> None:
        self._queue.pop(client_message_id, None)

    def close(self) -> None:
        pass
