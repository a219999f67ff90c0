"""The end of a round, out of the way of the next ones: announce → tell inboxes → park → keep heads → commit (protocol T3).

Rounds that wait for it are finished together: what it does costs the same for one as for ten.
"""

import asyncio
from collections.abc import Iterator, Mapping

from svc.delivery.holding import Holding
from svc.delivery.incidents import group_of
from svc.delivery.moved import HeldBack
from svc.delivery.ports import Encoder
from svc.delivery.retry import Retry
from svc.delivery.rounds import Round
from svc.kernel import telemetry
from svc.kernel.clock import Clock
from svc.kernel.eventlog import ACCEPTED, DEAD_LETTERS, EVENTS, Entry, EventLog
from svc.kernel.pace import Pace
from svc.kernel.record import to_entry
from svc.kernel.shards import Shards

_PACE_FROM_PER_SECOND = 300.0
_PACE_SECONDS = 0.02
# So many records may wait: they are stored and answered, and would only be read again after a crash.
_WAITING = 5000
# Records finished together, and bytes of one announcement: a log takes a megabyte at most (Kafka's default).
_TOGETHER = 1000
_ENTRY_BYTES = 512 * 1024


class Finisher:
    """Offsets are committed in log order, each after everything below it is through; those of partitions that were dropped are
    not. `incident`: of the log whose offsets these are."""

    def __init__(
        self, event_log: EventLog, encoder: Encoder, clock: Clock, shards: Shards, retry: Retry, incident: int
    ) -> None:
        self._log = event_log
        self._encoder = encoder
        self._clock = clock
        self._shards = shards
        self._retry = retry
        self._group = group_of(incident)
        self._pace = Pace(clock, _PACE_FROM_PER_SECOND, _PACE_SECONDS)
        self._waiting: list[Round] = []
        self._count = 0
        self._put = self._finished = 0  # rounds, ever
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._held_back = HeldBack()
        self._held: dict[int, Holding] = {}
        self.offsets: dict[int, int] = {}
        """Per partition that is held, the offset below which everything is through, but for what is held back."""
        self.committed_at = clock.monotonic()

    def begin(self, holding: Holding) -> None:
        """A partition is taken."""
        self._held[holding.claim.partition] = holding
        self.offsets[holding.claim.partition] = holding.through
        self.committed_at = self._clock.monotonic()

    def drop(self, partition: int) -> None:
        """A partition is not ours any more: nothing of it is committed from now on."""
        self._held.pop(partition, None)
        self.offsets.pop(partition, None)
        self._held_back.drop(partition)

    @property
    def is_behind(self) -> bool:
        """Whether a round is not finished."""
        return self._finished < self._put

    async def put(self, result: Round) -> None:
        """A round is stored and relayed. Waits while too many of them are not finished."""
        while self._count >= _WAITING:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(result)
        self._count += result.size
        self._put += 1
        self._wake.set()

    async def caught_up(self) -> None:
        """Return when every round so far is finished; those that come meanwhile are not waited for."""
        goal = self._put
        while self._finished < goal:
            self._room.clear()
            await self._room.wait()

    def look_again(self) -> None:
        """The map has changed: what is held back may be able to go."""
        if self._held_back:
            self._wake.set()

    async def run(self) -> None:
        """Finish rounds until cancelled."""
        while True:
            await self._wake.wait()
            await self._pace.wait()
            result, rounds = self._take()
            self._pace.ran(result.size)
            await self.finish(result)
            self._count -= result.size
            self._finished += rounds
            self._room.set()

    async def finish(self, result: Round) -> None:
        """Take one round, or several as one, through its last steps."""
        announced = [
            Entry(partition, "", frames)
            for partition, one in result.frames.items()
            for frames in _joined(one, _ENTRY_BYTES)
        ]
        if announced:
            await self._retry.until_done("announce", lambda: self._log.append(EVENTS, announced))
        events = result.events()
        notices = [to_entry(record, self._shards.shards) for event in events for record in self._encoder.notices(event)]
        if notices:
            await self._retry.until_done("tell inboxes", lambda: self._log.append(ACCEPTED, notices))
        if result.dead_letters:
            telemetry.DEAD_LETTERS.inc(len(result.dead_letters))
            await self._retry.until_done("park", lambda: self._log.append(DEAD_LETTERS, result.dead_letters))
        self._held_back.add([entry for holding, entry in result.moved if self._holds(holding)])
        await self._append_again()
        await self._keep_heads(result.next_offsets)
        for holding, offset in result.next_offsets.items():
            if self._holds(holding):
                self.offsets[holding.claim.partition] = offset
        await self.commit()

    def _holds(self, holding: Holding) -> bool:
        return self._held.get(holding.claim.partition) is holding

    async def _keep_heads(self, offsets: Mapping[Holding, int]) -> None:
        """Before these are committed (S4)."""
        kept = [(holding.heads, offset) for holding, offset in offsets.items() if self._holds(holding)]
        await asyncio.gather(*(heads.write(offset) for heads, offset in kept if heads is not None))

    async def _append_again(self) -> None:
        ready = self._held_back.ready(self._shards.shards)
        if ready:
            entries = [again for _, again in ready]
            await self._retry.until_done("append again", lambda: self._log.append(ACCEPTED, entries))
            self._held_back.appended([entry for entry, _ in ready])

    async def commit(self) -> None:
        """Commit what is through."""
        offsets = {partition: self._held_back.below(partition, offset) for partition, offset in self.offsets.items()}
        if offsets:
            await self._retry.until_done("commit", lambda: self._log.commit(self._group, ACCEPTED, offsets))
        self.committed_at = self._clock.monotonic()

    def _take(self) -> tuple[Round, int]:
        result, rounds = Round(), 0
        while self._waiting and result.size < _TOGETHER:
            result.absorb(self._waiting.pop(0))
            rounds += 1
        if not self._waiting:
            self._wake.clear()
        return result, rounds


def _joined(frames: list[bytes], most: int) -> Iterator[bytes]:
    """Frames concatenate. Joined in order, to pieces of so many bytes (a longer frame alone)."""
    piece: list[bytes] = []
    size = 0
    for frame in frames:
        if piece and size + len(frame) > most:
            yield b"".join(piece)
            piece, size = [], 0
        piece.append(frame)
        size += len(frame)
    if piece:
        yield b"".join(piece)
