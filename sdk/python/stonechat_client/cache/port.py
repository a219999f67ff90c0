"""The port: what a session asks of a cache."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat_client.errors import WrongUser

__all__ = ["Cache", "Device", "Queued", "Span", "WrongUser"]


@dataclass(frozen=True, slots=True)
class Span:
    """How far a conversation is held: every event above `first` and up to `last`, without holes, was handed over. Of these
    the newest are kept."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Device:
    """Who is signed in here. The refresh token is a secret."""

    user_id: str
    device_id: str
    refresh_token: str


@dataclass(frozen=True, slots=True)
class Queued:
    """A message that waits to be acknowledged. Times are seconds since 1970 by the device's clock; `tried_at` is when it was
    first said to a server, 0.0 for never."""

    client_message_id: str
    to: str
    content: str
    queued_at: float
    tried_at: float = 0.0


class Cache(Protocol):
    """One user's conversations, queue and sign-in on one device.

    Used from one event loop. Calls are local and quick (well under a millisecond, a queued message one write to the disk), so
    they do not wait. A cache on a disk keeps what it was given when the process dies at any point; it raises OSError when
    the disk cannot take it.
    """

    def belong_to(self, user_id: str) -> None:
        """Whose it is, from the first time on. Raises WrongUser when it is somebody else's."""

    def device(self) -> Device | None:
        """The device that is signed in, if one was kept."""

    def keep_device(self, device: Device | None) -> None:
        """Keep it, in place of what was kept; None for nobody."""

    def spans(self) -> Mapping[str, Span]:
        """All conversations, those that moved last at the end."""

    def begin(self, conversation_id: str, first: int) -> None:
        """The conversation is followed from above `first`; whatever was held of it is dropped."""

    def add(self, event: ConversationEvent) -> None:
        """The next event of a conversation that was begun: seq is its span's last + 1, else ValueError. A withdrawal takes the
        content of the message it names, an edit replaces it. A message of the user's own leaves the queue in the same step, so
        that no crash leaves it in both places."""

    def forget(self, conversation_id: str) -> None:
        """The user is no longer part of the conversation."""

    def event(self, conversation_id: str, seq: int) -> ConversationEvent | None:
        """One event as it stands now, or None when it is not kept."""

    def events(self, conversation_id: str, before: int, limit: int) -> Sequence[ConversationEvent]:
        """Those kept below seq `before`, newest first, at most `limit`."""

    def enqueue(self, message: Queued) -> None:
        """Put a message at the end of the queue. Putting it in again changes nothing."""

    def queued(self) -> Sequence[Queued]:
        """The queue, oldest first."""

    def tried(self, client_message_id: str, at: float) -> None:
        """The message was said for the first time."""

    def dequeue(self, client_message_id: str) -> None:
        """The message was answered. One that is not in the queue is ignored."""

    def close(self) -> None:
        """No call follows."""
