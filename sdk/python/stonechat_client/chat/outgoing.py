"""What was said and is not acknowledged yet."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from stonechat_client.errors import ClientError

Failed = Callable[[str, ClientError], None]
"""Called with what was not done, and why."""


class Outgoing:
    """Requests under way. Each is one task; what is under way when the program leaves is waited for."""

    def __init__(self, changed: Callable[[], None], failed: Failed) -> None:
        self._changed = changed
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()
        self._unseen: set[str] = set()
        self._seen = asyncio.Event()
        self.lost = 0

    @property
    def waiting(self) -> int:
        """How many are not acknowledged."""
        return len(self._tasks)

    def start(self, what: str, client_message_id: str, request: Coroutine[Any, Any, object]) -> None:
        """Have a request done; `what` says what it is, should it fail."""
        self._unseen.add(client_message_id)
        task = asyncio.create_task(self._do(what, client_message_id, request), name=f"stonechat chat: {what}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: self._changed())
        self._changed()

    def seen(self, client_message_id: str) -> None:
        """What it asked for has come back as an event."""
        self._unseen.discard(client_message_id)
        self._seen.set()

    async def _do(self, what: str, client_message_id: str, request: Coroutine[Any, Any, object]) -> None:
        try:
            await request
        except ClientError as error:
            self.lost += 1
            self.seen(client_message_id)
            self._failed(what, error)

    async def settle(self, seconds: float) -> None:
        """Wait until everything is acknowledged and has come back as an event, but no longer than that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if self._tasks:
                    await asyncio.wait(self._tasks)
                while self._unseen:
                    self._seen.clear()
                    await self._seen.wait()

    async def finish(self, seconds: float) -> int:
        """Settle, and give up what is not acknowledged by then. Returns how much was lost, or may have been."""
        await self.settle(seconds)
        self.lost += len(self._tasks)
        await self.cancel()
        return self.lost

    async def cancel(self) -> None:
        """Give up what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
