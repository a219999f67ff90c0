"""Read marks: state that only grows. Many in a short while become one write (design section 2)."""

import asyncio
import logging
from collections.abc import Callable

from svc.kernel.clock import Clock
from svc.kernel.errors import StonechatError, Unavailable
from svc.kernel.relay import Signal
from svc.messaging.model import ReadMark
from svc.messaging.ports import Encoder, ReadMarks

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.1
MAX_WAITING = 50_000

Done = Callable[[StonechatError | None], None]


class MarkBoard:
    """Marks on their way to the store; those that moved are then signalled to the conversation."""

    def __init__(self, marks: ReadMarks, encoder: Encoder, signal: Callable[[Signal], None], clock: Clock) -> None:
        self._marks = marks
        self._encoder = encoder
        self._signal = signal
        self._clock = clock
        self._waiting: dict[tuple[str, str], int] = {}
        self._done: list[Done] = []
        self._wake = asyncio.Event()

    def put(self, mark: ReadMark, done: Done) -> None:
        """Raise a mark; `done` is told when that is stored. Raises Unavailable when too many wait."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("read marks are behind: come back later", retry_after=1.0)
        key = (mark.user_id, mark.conversation_id)
        self._waiting[key] = max(mark.seq, self._waiting.get(key, 0))
        self._done.append(done)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            waiting, self._waiting = self._waiting, {}
            waiters, self._done = self._done, []
            error: StonechatError | None = None
            try:
                moved = await self._marks.advance([ReadMark(user, name, seq) for (user, name), seq in waiting.items()])
                for mark in moved:
                    frame = self._encoder.read_mark(mark)
                    self._signal(Signal(mark.conversation_id, f"read {mark.user_id}", frame))
            except Unavailable as unavailable:
                error = unavailable
            for done in waiters:
                done(error)
            await self._clock.sleep(FLUSH_SECONDS)
