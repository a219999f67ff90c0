"""What was said and has not come back yet."""

import asyncio
from collections.abc import Set
from contextlib import suppress


class Outgoing:
    """Counts, by client message id, what is not answered, and what has not come back as an event."""

    def __init__(self) -> None:
        self._unanswered: set[str] = set()
        self._unseen: set[str] = set()
        self._moved = asyncio.Event()

    @property
    def unanswered(self) -> Set[str]:
        """What is not answered."""
        return self._unanswered

    def expect(self, client_message_id: str) -> None:
        """Something was said."""
        self._unanswered.add(client_message_id)
        self._unseen.add(client_message_id)

    def answered(self, client_message_id: str) -> None:
        """The server has stored it; its event comes."""
        self._unanswered.discard(client_message_id)
        self._moved.set()

    def seen(self, client_message_id: str) -> None:
        """Its event has come."""
        self._unseen.discard(client_message_id)
        self._moved.set()

    def failed(self, client_message_id: str) -> None:
        """It was refused: no event comes."""
        self.answered(client_message_id)
        self.seen(client_message_id)

    async def fewer_than(self, most: int) -> None:
        """Wait until fewer than so many are not answered."""
        while len(self._unanswered) >= most:
            self._moved.clear()
            await self._moved.wait()

    async def settle(self, seconds: float) -> int:
        """Wait until everything is answered and has come back, but no longer than that. Returns how much is not answered."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._unanswered or self._unseen:
                    self._moved.clear()
                    await self._moved.wait()
        return len(self._unanswered)
