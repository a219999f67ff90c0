"""What messaging needs from the world, besides the event log and the relay of `svc.kernel`.

Every method raises `Unavailable` when the one who serves it cannot answer.
"""

from collections.abc import Sequence, Set
from typing import Protocol

from svc.kernel.errors import StonechatError
from svc.kernel.relay import Answer
from svc.messaging.model import Head, Membership, ReadMark, TargetState


class Conversations(Protocol):
    """Reads what delivery stored. Sees everything that was relayed before."""

    async def of_user(self, user_id: str) -> Sequence[Membership]:
        """Every conversation the user is or was part of, most recent first."""
        ...

    async def member_of(self, user_id: str) -> Set[str]:
        """The conversations that the user is part of: a fraction of the cost of `of_user`, which knows their newest events."""
        ...

    async def is_member(self, user_id: str, conversation_id: str) -> bool:
        """Whether the user is part of a group or direct conversation that exists."""
        ...

    async def heads(self, user_id: str, conversation_ids: Sequence[str]) -> Sequence[Head]:
        """Their newest state for this user, in the order given."""
        ...

    async def target(self, conversation_id: str, seq: int) -> TargetState | None:
        """The event that is to be changed, or None."""
        ...


class ReadMarks(Protocol):
    """State that only grows."""

    async def advance(self, marks: Sequence[ReadMark]) -> Sequence[ReadMark]:
        """Raise marks; a mark above the newest event counts as the newest. Returns those that moved, as they are now."""
        ...


class Directory(Protocol):
    """What the services that own users and groups know."""

    async def user_exists(self, user_id: str) -> bool:
        """Whether there is such a user. A user, once made, exists for ever."""
        ...

    async def is_group_member(self, user_id: str, group_id: str) -> bool:
        """Whether the user is a member now, even if the group's conversation does not say so yet."""
        ...

    async def device_active(self, user_id: str, device_id: str) -> bool:
        """Whether the device is signed in."""
        ...


class Encoder(Protocol):
    """How what a session is told looks to its client: each an encoded frame. Frames concatenate."""

    def behind(self, conversation_id: str, head: int) -> bytes:
        """Events up to head were not pushed."""
        ...

    def hello_page(self, heads: Sequence[Head], gone: Sequence[str], complete: bool) -> bytes:
        """A part of the answer to Hello."""
        ...

    def answer(self, request_id: int, conversation_id: str, answer: Answer | StonechatError | None) -> bytes:
        """The result of a client's frame; None: done, with nothing more to say."""
        ...

    def typing(self, conversation_id: str, user_id: str) -> bytes:
        """Somebody writes."""
        ...

    def read_mark(self, mark: ReadMark) -> bytes:
        """Somebody has read."""
        ...

    def reconnect(self, after_ms: int) -> bytes:
        """Move to another instance."""
        ...

    def heartbeat(self) -> bytes:
        """The stream lives."""
        ...
