"""The event log: partitioned, append-only, read by offset.

Everything that must survive goes through it before anything else happens. Kafka serves this port at scale, a SQLite file on a
laptop. Topics are named here and nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

ACCEPTED = "conversation.accepted"
EVENTS = "conversation.events"
"""Announcements: each entry holds the events of a round, one frame after the other. One may be empty (log_clock.py)."""
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
    """Reads partitions from given offsets on, in order. One reader, one task. Taking one or dropping it does not disturb the
    others."""

    async def take(self, partition: int, start: int) -> None:
        """Read a partition too, from `start` on; anew when it is read already. Raises `Unavailable`."""
        ...

    def drop(self, partition: int) -> None:
        """Read a partition no more: what `fetch` has not returned of it is never returned. A single step."""
        ...

    async def fetch(self, max_entries: int) -> Sequence[LoggedEntry]:
        """Wait until there is something, then return it: per partition in offset order, without gaps. Without partitions it
        waits for one to be taken.

        Cancelling loses nothing. Raises `Unavailable` when the log cannot be read; the position stays.
        """
        ...

    def lag(self, partition: int | None = None) -> int:
        """How many entries are stored and not fetched yet, of one partition or of all, as far as known."""
        ...

    async def close(self) -> None:
        """Free what it holds."""
        ...


class EventLog(Protocol):
    """Guarantees: what `append` returned from is stored (fsync or quorum); entries of one call to one partition stand in the
    order given; offsets of a partition grow by one and are never used twice between two incidents."""

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

    async def offsets_since(self, topic: str, time_us: int) -> dict[int, int]:
        """Per partition, the offset of its first entry that was appended at this time (µs since 1970) or later, to the
        millisecond; partitions without one are not named."""
        ...

    async def committed(self, group: str, topic: str) -> dict[int, int]:
        """Per partition, the committed offset of a group: everything below it is done. Missing means 0."""
        ...

    async def commit(self, group: str, topic: str, offsets: dict[int, int]) -> None:
        """Store committed offsets. A stale writer may move one back: harmless, work is then done again."""
        ...

    async def ensure(self, partitions: int) -> None:
        """See to it that every topic has at least so many partitions. Repeating it changes nothing. Raises `Unavailable`."""
        ...
