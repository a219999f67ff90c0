"""Telling the server how far the user has read: the newest counts, and one call at a time."""

import asyncio

from stonechat_client.errors import ClientError, SignedOut
from stonechat_client.session import Session


class Reading:
    """Marks on their way. One that could not be told is told with the next."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._due: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._more = asyncio.Event()

    def put(self, conversation_id: str, seq: int) -> None:
        """The user has read up to seq."""
        if seq > max(self._due.get(conversation_id, 0), self._told.get(conversation_id, 0)):
            self._due[conversation_id] = seq
            self._more.set()

    async def run(self) -> None:
        """Until cancelled. Raises SignedOut."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._due:
                conversation_id, seq = self._due.popitem()
                try:
                    await self._session.mark_read(conversation_id, seq)
                    self._told[conversation_id] = max(seq, self._told.get(conversation_id, 0))
                except SignedOut:
                    raise
                except ClientError:
                    continue  # the next one tells this too
