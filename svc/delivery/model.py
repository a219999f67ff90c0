"""The facts about records and events that the owner reasons with."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from svc.kernel.record import Kind, Record, digest_of
from svc.kernel.relay import Outcome

BUCKET_EVENTS = 4096
"""Events of a conversation that share one partition of the store (W5)."""


class Position(NamedTuple):
    """Where a record stands in its shard's history; compared in this order (L1)."""

    era: int
    offset: int


class Key(NamedTuple):
    """What makes a record idempotent (L6)."""

    conversation_id: str
    sender_id: str
    client_message_id: str


def key_of(record: Record) -> Key:
    """The idempotency key of a record."""
    return Key(record.conversation_id, record.sender_id, record.client_message_id)


@dataclass(frozen=True, slots=True)
class KeyRow:
    """The first record that had a key, and the event it became."""

    position: Position
    seq: int
    record_id: int
    time_us: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The newest event of a conversation: what the next one is computed from. `version`: newest membership version."""

    seq: int
    time_us: int
    ordinal: int
    version: int
    position: Position


NO_EVENTS = Head(seq=0, time_us=0, ordinal=0, version=0, position=Position(0, -1))


@dataclass(frozen=True, slots=True)
class Row:
    """The place that a stored event has, found by its position (T2)."""

    position: Position
    seq: int
    record_id: int
    time_us: int
    ordinal: int
    version: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Slice:
    """A conversation as it is loaded (T1): its head, and every row down to the first whose position is below the start."""

    head: Head
    rows: tuple[Row, ...]


def slice_of(rows: Iterable[Row], start: Position) -> Slice:
    """The slice that rows make which were read one by one: all at or above the start, and the newest below it.

    It ends below the first number that is missing. A run lands whole on a replica, but who reads its newest row alone spreads
    that row alone (read repair): so what stands above a missing number was written by an owner that died before it knew
    whether it was stored, and told nobody. Its records are judged again, and get the same numbers. No run lies in two buckets,
    so a slice may begin with one: whatever lay below was moved away.
    """
    by_seq = {row.seq: row for row in rows}
    lowest = min(by_seq, default=0)
    bottom = 0 if lowest % BUCKET_EVENTS else max(0, lowest - 1)
    first = top = max((row.seq for row in by_seq.values() if row.position < start), default=bottom)
    while top + 1 in by_seq:
        top += 1
    at = by_seq.get(top)
    if at is None:
        return Slice(NO_EVENTS, ())
    head = Head(at.seq, at.time_us, at.ordinal, at.version, at.position)
    return Slice(head, tuple(by_seq[seq] for seq in range(first + 1, top + 1)))


@dataclass(frozen=True, slots=True)
class Target:
    """What never changes about a stored event that another one names (L2)."""

    seq: int
    record_id: int
    sender_id: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Event:
    """A numbered record, as it is stored: one event row, and one key row unless it is unprocessable (L8)."""

    record: Record
    kind: Kind
    position: Position
    seq: int
    time_us: int
    ordinal: int
    version: int

    @property
    def conversation_id(self) -> str:
        """Where it stands."""
        return self.record.conversation_id

    @property
    def bucket(self) -> int:
        """Which partition of the store holds it."""
        return self.seq // BUCKET_EVENTS

    def place(self) -> Row:
        """Its place alone."""
        return Row(self.position, self.seq, self.record.record_id, self.time_us, self.ordinal, self.version, self.kind)

    def key_row(self) -> KeyRow:
        """Its idempotency row."""
        return KeyRow(self.position, self.seq, self.record.record_id, self.time_us, digest_of(self.record))

    def head(self) -> Head:
        """The conversation's head once it is stored."""
        return Head(self.seq, self.time_us, self.ordinal, self.version, self.position)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one record. `event` is what has to be stored and relayed: for a new event, and again for one that is
    known already (T2). seq, record_id and time_us are the answer."""

    record: Record
    outcome: Outcome
    seq: int = 0
    record_id: int = 0
    time_us: int = 0
    event: Event | None = None
    error: str = ""


class LogIncidentError(Exception):
    """The log is not the one that the store was computed from (T4): it was cut, or made anew."""
