"""Records that were appended where their shard does not live (any more), and that nobody waits for: they are appended again, to
where it lives now, before their offset is committed (protocol G1, G2)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from svc.kernel.eventlog import Entry, LoggedEntry
from svc.kernel.shards import ShardMap, shard_of


@dataclass(slots=True)
class HeldBack:
    """Those of all partitions, each in the order of the log. While the shard of one is on its way it waits here, and so does
    everything behind it in its partition."""

    entries: dict[int, list[LoggedEntry]] = field(default_factory=dict)

    def add(self, entries: Sequence[LoggedEntry]) -> None:
        """These have to be appended again."""
        for entry in entries:
            self.entries.setdefault(entry.partition, []).append(entry)

    def __bool__(self) -> bool:
        return bool(self.entries)

    def ready(self, shards: ShardMap) -> list[tuple[LoggedEntry, Entry]]:
        """Those that can be appended now, and as what."""
        found = []
        for entries in self.entries.values():
            for entry in entries:
                if shard_of(entry.key) in shards.moves:
                    break
                found.append((entry, Entry(shards.partition_of(entry.key), entry.key, entry.value)))
        return found

    def appended(self, entries: Sequence[LoggedEntry]) -> None:
        """These are in the log again. Their partitions may have been lost meanwhile, and taken again."""
        for entry in entries:
            waiting = self.entries.get(entry.partition, [])
            if entry in waiting:
                waiting.remove(entry)
                if not waiting:
                    del self.entries[entry.partition]

    def drop(self, partition: int) -> None:
        """The partition is not ours any more: whoever has it reads them again."""
        self.entries.pop(partition, None)

    def below(self, partition: int, offset: int) -> int:
        """How far a partition may be committed when everything below `offset` is through but for what waits here."""
        waiting = self.entries.get(partition)
        return min(offset, waiting[0].offset) if waiting else offset
