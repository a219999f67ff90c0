"""What the rules need from outside.

Every method sees all that was acknowledged before it was called, and raises `Unavailable` when the store cannot answer now.
"""

from collections.abc import Sequence
from typing import Protocol

from svc.history.model import Conversation, Place, Run, StoredEvent


class MessageStore(Protocol):
    """The message store, for reading."""

    async def is_member(self, user_id: str, conversation_id: str) -> bool:
        """Whether the user is part of the conversation now. Nobody is part of one that does not exist, or of an inbox."""
        ...

    async def record_id(self, conversation_id: str, seq: int) -> int | None:
        """The Snowflake of the event with this seq, or None when there is none."""
        ...

    async def messages_before(self, conversation_id: str, seq: int | None, limit: int) -> Sequence[StoredEvent]:
        """Up to `limit` messages below seq (None: all), newest first."""
        ...

    async def messages_after(self, conversation_id: str, seq: int, limit: int) -> Sequence[StoredEvent]:
        """Up to `limit` messages above seq, oldest first."""
        ...

    async def run_after(self, conversation_id: str, seq: int, limit: int, max_bytes: int) -> Run:
        """The events seq + 1, seq + 2 …: up to `limit` of them, and no more than `max_bytes` by their size bounds, but at
        least one if there is one. All are of one moment; `last_seq` is of that moment or later."""
        ...

    async def conversations(self, user_id: str, after: Place | None, limit: int) -> Sequence[Conversation]:
        """Up to `limit` conversations that the user is part of, most recent first, from the first or from behind `after`."""
        ...
