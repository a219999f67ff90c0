"""What waits to be handed to the program that uses a session: in order, bounded, with an end."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Record = Callable[[], None]
"""Writes something down."""
Failed = Callable[[BaseException], None]
"""Is told why something could not be written down."""


class Feed(Generic[T]):
    """A queue between tasks of one event loop: several put in, one takes out.

    Whoever takes an item is done with it when it asks for the next one. Only then is what belongs to it written down
    (`after`), so a program that dies while it handles an item gets it again. What cannot be written down ends the feed: what
    follows it cannot be written down either.
    """

    def __init__(self, room: int, failed: Failed | None = None) -> None:
        self._room = room
        self._failed = failed or self.end
        self._items: deque[tuple[T, list[Record]]] = deque()
        self._taken: list[Record] = []  # what is to be written down when the program is done with what it took last
        self._busy = False
        self._filled = asyncio.Event()
        self._freed = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None

    def has_room(self) -> bool:
        """Whether there is room for another item."""
        return len(self._items) < self._room

    def push(self, item: T) -> None:
        """Put in at once, beyond the bound if need be: the caller asks for room first, or has few such items. After the end it
        is left out."""
        if not self._ended:
            self._items.append((item, []))
            self._filled.set()

    def after(self, record: Record) -> None:
        """Write this down when the program is done with everything that was put in so far. After the end it is left out."""
        if self._ended:
            return
        if self._items:
            self._items[-1][1].append(record)
        elif self._busy:
            self._taken.append(record)
        else:
            record()

    def done(self) -> None:
        """The program is done with what it took last. Raises OSError when something cannot be written down."""
        self._busy = False
        taken, self._taken = self._taken, []
        try:
            for record in taken:
                record()
        except BaseException as error:
            self._items.clear()
            self._failed(error)
            raise

    async def room(self) -> None:
        """Wait until there is room for another item. It is there until the next await."""
        while not self.has_room():
            self._freed.clear()
            await self._freed.wait()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows; `error` says why."""
        self._ended, self._error = True, error
        self._filled.set()

    def __aiter__(self) -> "Feed[T]":
        return self

    async def __anext__(self) -> T:
        """Wait for an item and take it. Cancelling loses none. After the last one raises what ended the feed; raises OSError
        when something cannot be written down."""
        self.done()
        while not self._items:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        self._freed.set()
        item, self._taken = self._items.popleft()
        self._busy = True
        return item
