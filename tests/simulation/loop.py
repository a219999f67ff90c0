"""An event loop in which time passes only when everybody waits: the same seed gives the same schedule."""

import asyncio
from asyncio import base_events
from typing import Any

START = 1_000.0


class StuckError(Exception):
    """Everybody waits and no timer is set: nothing will ever happen again."""


class VirtualLoop(base_events.BaseEventLoop):
    """The asyncio loop with a selector that has no files and jumps to the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = START
        self._selector = self
        self._clock_resolution = 1e-9
        self._made: list[asyncio.Task[Any]] = []

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        """As always; remembered, since asking asyncio for all tasks walks through those of earlier loops too."""
        task = super().create_task(coro, **options)
        self._made.append(task)
        return task

    def time(self) -> float:
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """What the loop calls when it would wait for the world."""
        if timeout is None:
            raise StuckError("no timer is set")
        if timeout > 0:
            self._now += timeout
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody else could wake this loop."""

    def finish(self) -> None:
        """End every task that still waits, then close."""
        self.set_exception_handler(lambda loop, context: None)
        for _ in range(20):
            tasks = [task for task in self._made if not task.done()]
            if not tasks:
                break
            for task in tasks:
                task.cancel()
            self.call_soon(self.stop)
            self.run_forever()
        self.close()
