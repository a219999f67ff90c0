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
    """A queue of encoded frames. When it would grow beyond its limit, all events in it give way to one Behind for each
    conversation, and signals are dropped; what answers the client stays."""

    def __init__(self, max_bytes: int, behind: Callable[[str, int], bytes]) -> None:
        self._max_bytes = max_bytes
        self._behind = behind
        self._entries: deque[_Entry] = deque()
        self._signals: dict[tuple[str, str], bytes] = {}  # (conversation, key) → frame: the newest of each
        self._bytes = 0
        self._signal_bytes = 0
        self._ready = asyncio.Event()
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
        """Queue what must arrive: answers, pages, heartbeats. The caller bounds their number."""
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
        return b"".join(frames)

    async def wait(self) -> None:
        """Until there is something to take, or the session has ended."""
        await self._ready.wait()

    def nudge(self) -> None:
        """Wake the writer to look around."""
        self._ready.set()

    def end(self) -> None:
        """Wake the writer for good."""
        self._ended = True
        self._ready.set()

    def _put(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self._bytes += len(entry.frame) + _ENTRY_BYTES
        if self._bytes > self._max_bytes:
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
        kept.extend(_Entry(self._behind(name, head), name, head, "") for name, head in heads.items())
        self._entries = kept
        self._signals.clear()
        self._signal_bytes = 0
        self._bytes = sum(len(entry.frame) + _ENTRY_BYTES for entry in kept)
