"""What is stored, as the checks see it. Times are µs since 1970, UTC; a seq counts from 1."""

from dataclasses import dataclass, field
from typing import NamedTuple

from svc.kernel.record import Kind

_KINDS = frozenset(Kind)


class Position(NamedTuple):
    """Where a record stands in its shard's history; compared in this order (protocol L1)."""

    era: int
    offset: int


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What the idempotency row of a key says of the event that has it. `digest`: 16 bytes, of what was asked."""

    position: Position
    seq: int
    record_id: int
    time_us: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Body:
    """What was read out of an event's body. `content`: second half of its digest as a client sees it, empty for kinds without
    one. `target`: the message id that it names. `joined` and `left`: users. `version`: the record's, where a body tells."""

    content: str = ""
    target: str = ""
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """The message that an event names, as it is stored now. `body_version`: as in `StoredEvent`."""

    record_id: int
    sender_id: str
    kind: int
    content: str
    is_empty: bool
    body_version: int


@dataclass(frozen=True, slots=True)
class Cause:
    """The event that changed a message last."""

    seq: int
    kind: int
    target_seq: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event row, with the rows that belong to it, all read at one moment.

    `lane`: 0 messages, 1 changes. `body`: None when its bytes are not what its kind says. `head`: first half of its digest.
    `body_version`: seq of the event that wrote the body, + 10^12 for a withdrawal. `asked`: what its key row's digest must be,
    None when the body is no longer the one that was sent. `key`: the row of its key. `target`: the message at target_seq.
    `cause`: the change at body_version, for a message that is no longer as it was sent. None: there is no such row.
    """

    conversation_id: str
    lane: int
    seq: int
    kind: int
    sender_id: str
    record_id: int
    client_message_id: str
    time_us: int
    ordinal: int
    version: int
    position: Position
    target_seq: int
    body: Body | None
    body_version: int
    is_empty: bool
    head: str
    asked: bytes | None
    key: KeyRow | None
    target: Target | None
    cause: Cause | None

    @property
    def is_known(self) -> bool:
        """Whether this program knows its kind. Of newer ones it checks what all kinds have in common."""
        return self.kind in _KINDS

    @property
    def changed(self) -> bool:
        """Whether its body was replaced after it was stored."""
        return self.body_version != self.seq


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key row and the key of the event that it names (None: there is no event with that seq)."""

    sender_id: str
    client_message_id: str
    seq: int
    event_key: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Twin:
    """An event that has something in common with others: `what` is the same for all of them."""

    what: str
    seq: int
    time_us: int
    kind: int


@dataclass(frozen=True, slots=True)
class Member:
    """What a user's list of conversations must say of one. `seq`, `time_us`: of the event that says so."""

    version: int
    member: bool
    seq: int
    time_us: int = field(default=0, compare=False)
