"""What waits to be written to one session, bounded in bytes (promise 6: slow readers hurt only themselves)."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from svc.kernel import telemetry

WRITE_BYTES = 64 * 1024
_ENTRY_BYTES = 64


class _Entry(NamedTuple):
    frame: bytes
    conversation_id: str  # empty for what may not be dropped
    seq: int
    traceparent: str


class Outbox:
    """A queue of encoded frames. When its events would grow beyond the limit, all of them give way to one Behind for each
    conversation, and signals are dropped; what answers the client stays. When even that is too much, it is `overwhelmed`."""

    def __init__(self, max_bytes: int, behind: Callable[[str, int], bytes]) -> None:
        self._max_bytes = max_bytes
        self._behind = behind
        self._entries: deque[_Entry] = deque()
        self._signals: dict[tuple[str, str], bytes] = {}  # (conversation, key) → frame: the newest of each
        self._bytes = 0
        self._event_bytes = 0  # of these, what may give way
        self._signal_bytes = 0
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self.overwhelmed = False
        self._ended = False
        # Traces of the events that were taken last, for who writes them.
        self.traces: list[str] = []

    def __bool__(self) -> bool:
        return bool(self._entries or self._signals)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._bytes + self._signal_bytes

    def event(self, frame: bytes, conversation_id: str, seq: int, traceparent: str = "") -> None:
        """Queue an event of a conversation."""
        self._put(_Entry(frame, conversation_id, seq, traceparent))

    def behind(self, conversation_id: str, head: int) -> None:
        """Queue the word that events up to head were not pushed."""
        self._put(_Entry(self._behind(conversation_id, head), conversation_id, head, ""))

    def control(self, frame: bytes) -> None:
        """Queue what must arrive: answers, pages, heartbeats. The caller bounds their number, or waits for `room`."""
        self._put(_Entry(frame, "", 0, ""))

    def signal(self, key: str, conversation_id: str, frame: bytes) -> None:
        """Queue an ephemeral event; the newest of a key counts. Dropped while the queue is half full."""
        older = self._signals.get((conversation_id, key))
        more = len(frame) + (_ENTRY_BYTES if older is None else -len(older))
        if older is None and self.size + more > self._max_bytes // 2:
            return
        self._signals[conversation_id, key] = frame
        self._signal_bytes += more
        self._ready.set()

    def take(self) -> bytes:
        """Everything that waits, up to 64 kB (a larger frame alone), as one frame: signals last. Empty when nothing does."""
        frames: list[bytes] = []
        size = 0
        self.traces = []
        while self._entries and (not frames or size + len(self._entries[0].frame) <= WRITE_BYTES):
            entry = self._entries.popleft()
            frames.append(entry.frame)
            size += len(entry.frame)
            self._event_bytes -= _weight(entry) if entry.conversation_id else 0
            if entry.traceparent:
                self.traces.append(entry.traceparent)
        self._bytes -= size + _ENTRY_BYTES * len(frames)
        while not self._entries and self._signals:
            key, frame = next(iter(self._signals.items()))
            if frames and size + len(frame) > WRITE_BYTES:
                break
            del self._signals[key]
            frames.append(frame)
            size += len(frame)
            self._signal_bytes -= len(frame) + _ENTRY_BYTES
        if not self and not self._ended:
            self._ready.clear()
        if self.size <= self._max_bytes // 2:
            self._room.set()
        return b"".join(frames)

    async def wait(self) -> None:
        """Until there is something to take, or the session has ended."""
        await self._ready.wait()

    async def room(self) -> None:
        """Until less than half of the limit waits, or the session has ended. Only where another task writes."""
        while self.size > self._max_bytes // 2 and not self._ended:
            self._room.clear()
            await self._room.wait()

    def nudge(self) -> None:
        """Wake the writer to look around."""
        self._ready.set()

    def end(self) -> None:
        """Wake the writer for good."""
        self._ended = True
        self._ready.set()
        self._room.set()

    def _put(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._bytes += _weight(entry)
        if entry.conversation_id:
            self._event_bytes += _weight(entry)
            if self._event_bytes > self._max_bytes:
                self._overflow()
        self._ready.set()

    def _overflow(self) -> None:
        telemetry.SESSION_OVERFLOWS.inc()
        heads: dict[str, int] = {}
        kept: deque[_Entry] = deque()
        for entry in self._entries:
            if entry.conversation_id:
                heads[entry.conversation_id] = max(entry.seq, heads.get(entry.conversation_id, 0))
            else:
                kept.append(entry)
        behind = [_Entry(self._behind(name, head), name, head, "") for name, head in heads.items()]
        kept.extend(behind)
        self._entries = kept
        self._signals.clear()
        self._signal_bytes = 0
        self._bytes = sum(map(_weight, kept))
        self._event_bytes = sum(map(_weight, behind))
        self.overwhelmed = self._event_bytes > self._max_bytes


def _weight(entry: _Entry) -> int:
    return len(entry.frame) + _ENTRY_BYTES
