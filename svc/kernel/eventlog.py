"""The event log: partitioned, append-only, read by offset.

Everything that must survive goes through it before anything else happens. Kafka serves this port at scale, a SQLite file on a
laptop. Topics are named here and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

ACCEPTED = "conversation.accepted"
EVENTS = "conversation.events"
DEAD_LETTERS = "conversation.dead-letter"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a producer appends. The caller chooses the partition; `key` is for compaction and for people."""

    partition: int
    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry with its place. `appended_us` is the log's own clock: µs since 1970."""

    partition: int
    offset: int
    appended_us: int
    key: str
    value: bytes


class Consumer(Protocol):
    """Reads partitions from given offsets on, in order. One reader, one task."""

    async def fetch(self, max_entries: int) -> Sequence[LoggedEntry]:
        """Wait until there is something, then return it: per partition in offset order, without gaps.

        Cancelling loses nothing. Raises `Unavailable` when the log cannot be read; the position stays.
        """
        ...

    def lag(self) -> int:
        """How many entries of the partitions are stored and not fetched yet, as far as known."""
        ...

    async def close(self) -> None:
        """Free what it holds."""
        ...


class EventLog(Protocol):
    """Guarantees: what `append` returned from is stored (fsync or quorum); entries of one call to one partition stand in the
    order given; offsets of a partition grow by one and are never used twice within an era."""

    async def append(self, topic: str, entries: Sequence[Entry]) -> Sequence[int]:
        """Store entries; return their offsets. Raises `Unavailable` when the outcome is unknown: append again, with the same
        idempotency keys."""
        ...

    async def consume(self, topic: str, starts: dict[int, int]) -> Consumer:
        """A consumer of the partitions named, each from its offset on. Offsets below the oldest kept one start there."""
        ...

    async def read(self, topic: str, partition: int, start: int, count: int) -> Sequence[LoggedEntry]:
        """Up to `count` entries of one partition from `start` on; does not wait."""
        ...

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Per partition, the offset that its next entry will get."""
        ...

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """Per partition, the committed offset of a group: everything below it is done. Missing means 0."""
        ...

    async def commit(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        """Store committed offsets. A stale writer may move one back: harmless, work is then done again."""
        ...

    async def partitions(self, wanted: int) -> int:
        """How many partitions `conversation.accepted` has. The first call decides; later only growing changes it."""
        ...

    async def eras(self) -> dict[int, int]:
        """Per partition of `conversation.accepted`, its era (protocol L1). Missing means 1."""
        ...

    async def start_era(self, partition: int, era: int) -> None:
        """Store that a partition's positions count in `era` from now on. Only upward."""
        ...

    async def next_claim(self) -> int:
        """A claim number greater than every one before it (protocol O1)."""
        ...
