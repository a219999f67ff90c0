"""Many who ask one thing each, of somebody who answers for many at the price of one.

Nothing is remembered: a question is asked after whoever has it came with it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Container, Hashable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

AT_ONCE = 4
"""Requests under way: one that hangs holds up few."""


class _Left(Exception):
    """Whoever was to ask for all has gone away."""


class _Batch(Generic[Key]):
    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.answer: asyncio.Future[Container[Key]] = asyncio.get_running_loop().create_future()


class Together(Generic[Key]):
    """Asks `ask`, which returns those of up to `most` keys that are so. Alone, a key is asked for at once; while AT_ONCE
    requests are under way, those that come wait and go with the next."""

    def __init__(self, ask: Callable[[Sequence[Key]], Awaitable[Container[Key]]], most: int) -> None:
        self._ask = ask
        self._most = most
        self._room = asyncio.Semaphore(AT_ONCE)
        self._next: _Batch[Key] | None = None

    async def holds(self, key: Key) -> bool:
        """Whether it is so. Raises what `ask` raises."""
        while True:
            batch = self._next
            if batch is None or len(batch.keys) >= self._most:
                return key in await self._lead(key)
            batch.keys.append(key)
            try:
                return key in await asyncio.shield(batch.answer)
            except _Left:
                continue

    async def _lead(self, key: Key) -> Container[Key]:
        # The first of a batch asks for all of it; a task of its own would need an owner.
        batch = self._next = _Batch[Key]()
        batch.keys.append(key)
        try:
            async with self._room:
                self._close(batch)
                answer = await self._ask(batch.keys)
        except BaseException as error:
            self._close(batch)
            batch.answer.set_exception(error if isinstance(error, Exception) else _Left())
            batch.answer.exception()  # there may be nobody else who looks
            raise
        batch.answer.set_result(answer)
        return answer

    def _close(self, batch: _Batch[Key]) -> None:
        if self._next is batch:
            self._next = None
