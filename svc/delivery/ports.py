"""What delivery needs from the world."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from svc.delivery.model import Event, Key, KeyRow, Position, Slice, Target, Verdict
from svc.kernel.eventlog import LoggedEntry
from svc.kernel.record import Record


class MessageStore(Protocol):
    """Where events are kept.

    Every method raises `Unavailable` when the outcome is unknown or the store cannot answer: that decides nothing (L3), the
    caller repeats. Reads see every write that returned before, whoever wrote it.
    """

    async def load(self, starts: dict[str, Position]) -> dict[str, Slice]:
        """Per conversation: its head and its rows from there down to the first whose position is below the start (T1). What
        stands above a missing number is not stored: where a read may see part of a write, `slice_of` cuts it off."""
        ...

    async def keys(self, keys: Sequence[Key]) -> dict[Key, KeyRow]:
        """The key rows that exist."""
        ...

    async def targets(self, targets: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Target]:
        """The events named by (conversation, seq) that exist."""
        ...

    async def write(self, events: Sequence[Event]) -> None:
        """Store events with all that belongs to them: event row, key row, the row an edit or withdrawal names, the
        conversation lists (direct conversations with event 1, groups with each membership change).

        The events of one conversation are given in seq order, contiguous, and of one bucket. When this returns, all of it is
        stored; when it raises, any part of it may be. Writing the same events again changes nothing; an older write never
        undoes a newer one: the highest version of a cell wins (W3).
        """
        ...

    async def withdrawn(self, targets: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
        """Those of the events named by (conversation, seq) whose content was withdrawn."""
        ...

    async def is_empty(self) -> bool:
        """Whether there is not a single event."""
        ...

    async def ping(self) -> None:
        """Return when the store answers."""
        ...


class Heads(Protocol):
    """A place where the newest seq of conversations is kept for the next owner of a partition (S4).

    Anything in it may be lost at any time, and all of it may come back as it was before: `svc.delivery.heads` sees that by the
    mark. Names are opaque. Every method raises `Unavailable` when there is no answer; the outcome is unknown then.
    """

    async def read(self, space: str, names: Sequence[str]) -> tuple[int, dict[str, int]]:
        """The mark of a space's chain (-1: there is none), and the heads of these names that belong to that chain. All of one
        moment."""
        ...

    async def write(self, space: str, start: int, end: int, log_end: int, heads: Mapping[str, int]) -> None:
        """Join a stretch of the log, [start, end), to the chain: raise heads, never lower them, then set the mark to `end`. A
        chain that ends before `start`, or beyond `log_end`, is void, and this begins another; where one ends beyond `end`,
        but not beyond `log_end`, somebody is ahead, and nothing changes. All in one step."""
        ...


class Encoder(Protocol):
    """How events look to others. Pure: bytes in, bytes out."""

    def frame(self, event: Event, withdrawn: bool) -> bytes:
        """The event as an encoded `ConnectResponse`; with empty content when what it shows was withdrawn meanwhile."""
        ...

    def notices(self, event: Event) -> Sequence[Record]:
        """What the inboxes of those concerned are told of a stored event, each with a key derived from it (S11, S12)."""
        ...

    def dead_letter(self, entry: LoggedEntry, verdict: Verdict | None, error: str) -> bytes:
        """What is parked; `verdict` is None when the record names no conversation."""
        ...
