"""Moving shards to other partitions while everything runs (protocol G1). Run by one at a time; whoever is second does no harm.

    publish that shards are on their way → fence each in its source → wait until the source is committed beyond the fence
    → open each in its target → publish where they live now

Stopped at any point, the next run goes on from what is published.
"""

import math
from collections.abc import Callable, Mapping

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
                await self._finish(shards)
                moved += len(shards.moves)
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

    async def _finish(self, shards: ShardMap) -> None:
        """Take every move that is published to its end."""
        moves = shards.moves
        await self._log.append(ACCEPTED, [mark_entry(Mark.FENCE, shard, move.source) for shard, move in moves.items()])
        fences = await self._fences(moves)
        await self._committed(
            shards, {moves[shard].source: offset for shard, offset in sorted(fences.items(), key=_by_offset)}
        )
        order = list(moves)
        opened = await self._log.append(
            ACCEPTED, [mark_entry(Mark.OPEN, shard, moves[shard].target) for shard in order]
        )
        arrived = {shard: (fences[shard], offset) for shard, offset in zip(order, opened, strict=True)}
        await self._coordination.publish(shards.moved(arrived))

    async def _fences(self, moves: Mapping[int, Move]) -> dict[int, int]:
        """Where the first fence of each stands: one of a run before may stand below the one that was just appended."""
        found: dict[int, int] = {}
        for source in {move.source for move in moves.values()}:
            at = min(move.since for move in moves.values() if move.source == source)
            wanted = {shard for shard, move in moves.items() if move.source == source}
            while wanted - found.keys():
                entries = await self._log.read(ACCEPTED, source, at, _PAGE)
                for entry in entries:
                    mark = marked(entry)
                    if mark is None or mark[0] is not Mark.FENCE or mark[1] not in wanted:
                        continue
                    if entry.offset >= moves[mark[1]].since:
                        found.setdefault(mark[1], entry.offset)
                at = entries[-1].offset + 1 if entries else at
                if not entries:
                    await self._clock.sleep(_LOOK_SECONDS)
        return found

    async def _committed(self, shards: ShardMap, fences: Mapping[int, int]) -> None:
        """Wait until each partition is committed beyond an offset. `fences`: the highest of each."""
        group, told = group_of(shards.incident), False
        while True:
            committed = await self._log.committed(group, ACCEPTED)
            behind = [partition for partition, offset in fences.items() if committed.get(partition, 0) <= offset]
            if not behind:
                return
            if (await self._coordination.read_shards()).version != shards.version:
                return  # somebody else is at it, or the log had an incident: publishing will be refused
            if not told:
                told = True
                self._progress(f"waiting for partitions {sorted(behind)} to be worked off up to their fences")
            await self._clock.sleep(_LOOK_SECONDS)


def _by_offset(item: tuple[int, int]) -> int:
    return item[1]
