"""Moving shards to other partitions while everything runs (protocol G1). Run by one at a time; whoever is second does no harm.

    publish that shards are on their way → fence each in its source → wait until the source is committed beyond the fence
    → open each in its target → publish where they live now

Stopped at any point, the next run goes on from what is published.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress

from svc.delivery.incidents import group_of
from svc.kernel.clock import Clock
from svc.kernel.coordination import Coordination
from svc.kernel.errors import InvalidField
from svc.kernel.eventlog import ACCEPTED, EventLog
from svc.kernel.record import Mark, mark_entry, marked
from svc.kernel.shards import SHARDS, Move, ShardMap

TOGETHER = 64
"""Shards that move at a time. What is sent to one meanwhile waits for some hundred milliseconds."""
_LOOK_SECONDS = 0.02
_PATIENCE_LOOKS = 100
_PAGE = 1000


def next_moves(shards: ShardMap, ends: Mapping[int, int], together: int = TOGETHER) -> dict[int, Move]:
    """Shards to move next so that each partition has its share; none when all of them have. `ends`: where the log ends."""
    shares = shards.shares()
    most = math.ceil(SHARDS / shards.partitions)
    least = SHARDS // shards.partitions
    moves: dict[int, Move] = {}
    while len(moves) < together:
        source = max(shares, key=lambda partition: (len(shares[partition]), -partition))
        target = min(shares, key=lambda partition: (len(shares[partition]), partition))
        if len(shares[source]) <= most and len(shares[target]) >= least:
            break
        shard = shares[source].pop()
        shares[target].append(shard)
        moves[shard] = Move(source, target, ends.get(source, 0))
    return moves


class Growing:
    """Tells `progress` in words what it does."""

    def __init__(
        self, event_log: EventLog, coordination: Coordination, clock: Clock, progress: Callable[[str], None]
    ) -> None:
        self._log = event_log
        self._coordination = coordination
        self._clock = clock
        self._progress = progress

    async def grow(self, partitions: int) -> None:
        """Return when there are so many partitions and the shards are spread over all of them. Raises InvalidField when there
        are more already; Unavailable: run it again."""
        shards = await self._coordination.read_shards()
        if not shards.partitions <= partitions <= SHARDS:
            raise InvalidField("partitions", f"must be from {shards.partitions}, as many as there are, to {SHARDS}")
        await self._log.ensure(partitions)
        while shards.partitions < partitions:
            if not await self._coordination.publish(shards.grown(partitions)):
                await self._clock.sleep(_LOOK_SECONDS)
            shards = await self._coordination.read_shards()
        total = moved = 0
        while True:
            shards = await self._coordination.read_shards()
            if shards.moves:
                with suppress(_OvertakenError):
                    if arrived := await self._finish(shards):
                        moved += arrived
                        self._progress(f"{moved} of {max(total, moved)} shards are where they belong")
                continue
            ends = await self._log.end_offsets(ACCEPTED)
            if not total:
                total = len(next_moves(shards, ends, SHARDS))
            moves = next_moves(shards, ends)
            if not moves:
                break
            if not await self._coordination.publish(shards.moving(moves)):
                await self._clock.sleep(_LOOK_SECONDS)  # somebody else has published: look again
        self._progress(f"{partitions} partitions")

    async def _finish(self, shards: ShardMap) -> int:
        """Take moves that are published to their end: all of them, if it can be. Returns how many."""
        moves, incident = shards.moves, shards.incident
        await self._log.append(
            ACCEPTED, [mark_entry(Mark.FENCE, shard, move.source, incident) for shard, move in moves.items()]
        )
        fences = await self._fences(shards)
        passed = await self._passed(shards, fences)
        if not passed:
            return 0
        opened = await self._log.append(
            ACCEPTED, [mark_entry(Mark.OPEN, shard, moves[shard].target, incident) for shard in passed]
        )
        arrived = {shard: (fences[shard], offset) for shard, offset in zip(passed, opened, strict=True)}
        await self._coordination.publish(shards.moved(arrived))
        return len(arrived)

    async def _fences(self, shards: ShardMap) -> dict[int, int]:
        """Where the first fence of each stands: one of a run before may stand below the one that was just appended."""
        moves, found = shards.moves, dict[int, int]()
        for source in {move.source for move in moves.values()}:
            at = min(move.since for move in moves.values() if move.source == source)
            wanted = {shard for shard, move in moves.items() if move.source == source}
            while wanted - found.keys():
                entries = await self._log.read(ACCEPTED, source, at, _PAGE)
                for entry in entries:
                    kind, shard, of = marked(entry) or (None, -1, 0)
                    if kind is not Mark.FENCE or of != shards.incident or shard not in wanted:
                        continue
                    if moves[shard].since <= entry.offset:
                        found.setdefault(shard, entry.offset)
                if entries:
                    at = entries[-1].offset + 1
                else:
                    await self._wait(shards)
        return found

    async def _passed(self, shards: ShardMap, fences: Mapping[int, int]) -> list[int]:
        """Wait until the sources are committed beyond the fences; returns the shards. After a while only those that are through
        so far, or none: what is held back behind one fence may stand in the way of the next, and a commit may have moved back,
        which fences that are appended again put right."""
        group, looks = group_of(shards.incident), 0
        while True:
            committed = await self._log.committed(group, ACCEPTED)
            passed = [shard for shard, fence in fences.items() if committed.get(shards.moves[shard].source, 0) > fence]
            if len(passed) == len(fences) or looks >= _PATIENCE_LOOKS:
                return passed
            if not looks:
                behind = sorted({shards.moves[shard].source for shard in fences.keys() - set(passed)})
                self._progress(f"waiting for partitions {behind} to be worked off up to their fences")
            looks += 1
            await self._wait(shards)

    async def _wait(self, shards: ShardMap) -> None:
        await self._clock.sleep(_LOOK_SECONDS)
        if (await self._coordination.read_shards()).version != shards.version:
            raise _OvertakenError


class _OvertakenError(Exception):
    """The map is another one than we work by: somebody else moves shards, or the log had an incident."""
