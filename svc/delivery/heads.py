"""What is the newest event of a conversation that sleeps? Answered from a cache, when the cache can prove it (protocol S4).

Whoever takes a partition over is asked that of many conversations at once; each answer from the message store is a read of
rows. Redis answers thousands in one call, but it may lose what it was given, and may come back as it was an hour ago. So what
lies there says how far it goes: heads are written in chains, each write for a stretch of the partition's log, before that
stretch is committed, and the mark of the chain is the offset where the last one ended. A write that does not join on begins
another chain, and all heads of the former one are void. Who reads believes a chain that reaches at least to where everything
is through; what came after that it knows itself. A lost write, a wiped Redis and an old copy of it all look the same: short.
(A generation in the registry, raised when a write fails, does not see a copy that is put back while nobody writes.)
"""

import asyncio
from collections.abc import Callable, Sequence

from svc.delivery.ports import Heads
from svc.kernel.errors import Unavailable

# Heads that were only loaded wait for the next write as long as there are no more than so many: one write is one script.
MAX_LOADED = 2_000


class HeadCache:
    """The heads of one partition, as the owner that holds it sees them. No clock, no waiting but for `heads`.

    `space`: the partition in one incident of the log. `era_of`: of a conversation, so that heads from before its shard lived
    elsewhere are not taken for new. `through`: everything below this offset is through when the owner begins; `log_end`: where
    the log ended then.
    """

    def __init__(self, heads: Heads, space: str, era_of: Callable[[str], int], through: int, log_end: int) -> None:
        self._heads = heads
        self._space = space
        self._era_of = era_of
        self._log_end = self._first_log_end = log_end
        self._caught_up = asyncio.Event()
        self._is_through(through)
        self._waiting: dict[str, int] = {}
        self._being_written: dict[str, int] = {}
        self._reads: dict[int, dict[str, int]] = {}  # by identity

    @property
    def is_caught_up(self) -> bool:
        """Whether all that the log held at the beginning is through: a former owner may have relayed it, so no answer may be
        below it."""
        return self._caught_up.is_set()

    async def caught_up(self) -> None:
        """Wait for that."""
        await self._caught_up.wait()

    def stored(self, conversation_id: str, seq: int) -> None:
        """An event is stored and about to be relayed. Call for every one."""
        self._waiting[conversation_id] = max(seq, self._waiting.get(conversation_id, 0))
        for asked in self._reads.values():
            if conversation_id in asked:
                asked[conversation_id] = max(seq, asked[conversation_id])

    def loaded(self, conversation_id: str, seq: int) -> None:
        """The message store says that this is the newest event of a conversation: worth keeping for the next who asks."""
        if seq and len(self._waiting) < MAX_LOADED:
            self.stored(conversation_id, seq)

    async def write(self, through: int) -> None:
        """Everything below an offset is stored and relayed, and is about to be committed: keep its heads. Never fails: what
        could not be kept makes a gap, and who reads will see that. One call at a time."""
        through = max(through, self._through)  # what lies below was read again for other reasons
        heads, self._waiting = self._waiting, {}
        if not heads and through == self._through:
            return
        self._being_written = heads
        start, self._log_end = self._through, max(self._log_end, through)
        named = {f"{self._era_of(name)}.{name}": seq for name, seq in heads.items()}
        try:
            await self._heads.write(self._space, start, through, self._log_end, named)
        except Unavailable:
            pass
        finally:
            self._being_written = {}
            self._is_through(through)

    async def read(self, conversation_ids: Sequence[str]) -> dict[str, int]:
        """The newest seq of each conversation of which that is sure: of some, or of none. No event that this owner relays
        later, or has relayed, is missed by it."""
        if not self.is_caught_up:
            return {}
        through = self._through
        asked = {name: self._in_memory(name) for name in conversation_ids}
        self._reads[id(asked)] = asked
        names = {name: f"{self._era_of(name)}.{name}" for name in conversation_ids}
        try:
            mark, found = await self._heads.read(self._space, list(names.values()))
        except Unavailable:
            return {}
        finally:
            del self._reads[id(asked)]
        if not self._reaches(mark, through):
            return {}
        return {name: max(found[key], asked[name]) for name, key in names.items() if key in found}

    def _is_through(self, offset: int) -> None:
        # Heads of records below are not in memory any more: they were written, or it was tried.
        self._through = offset
        if offset >= self._first_log_end:
            self._caught_up.set()

    def _in_memory(self, conversation_id: str) -> int:
        return max(self._waiting.get(conversation_id, 0), self._being_written.get(conversation_id, 0))

    def _reaches(self, mark: int, through: int) -> bool:
        # A mark beyond the log's end was made in another world: of a log that is gone.
        return through <= mark <= self._log_end
