"""What waits to be handed to the program that uses a session: in order, bounded, with an end."""

import asyncio
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Feed(Generic[T]):
    """A queue between tasks of one event loop: several put in, one takes out."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._items: deque[T] = deque()
        self._filled = asyncio.Event()
        self._freed = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None

    def has_room(self) -> bool:
        """Whether there is room for another item."""
        return len(self._items) < self._room

    def push(self, item: T) -> None:
        """Put in at once, beyond the bound if need be: the caller asks for room first, or has few such items."""
        self._items.append(item)
        self._filled.set()

    async def put(self, item: T) -> None:
        """Put in, once there is room."""
        while not self.has_room():
            self._freed.clear()
            await self._freed.wait()
        self.push(item)

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; `error` says why."""
        self._ended, self._error = True, error
        self._filled.set()

    def __aiter__(self) -> "Feed[T]":
        return self

    async def __anext__(self) -> T:
        """Wait for an item and take it. Cancelling loses none. After the last one raises what ended the feed."""
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        self._freed.set()
        return self._items.popleft()
