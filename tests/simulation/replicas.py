"""Three replicas of the message store: what each of them holds, and what a quorum of them can be read to hold."""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from svc.backends.messages_schema import WITHDRAWN
from svc.delivery.model import Event, Key, KeyRow, Position
from svc.delivery.wire import edited_body
from svc.kernel.ids import direct_members
from svc.kernel.record import Kind

REPLICAS = 3


class Fixed(NamedTuple):
    """The cells of an event row that never change; their version is its seq."""

    kind: Kind
    sender_id: str
    record_id: int
    client_message_id: str
    time_us: int
    ordinal: int
    version: int
    position: Position
    target_seq: int


class Cells:
    """An event row. `fixed` is None while only a change of its body has arrived."""

    __slots__ = ("body", "body_version", "fixed")

    def __init__(self) -> None:
        self.fixed: Fixed | None = None
        self.body = b""
        self.body_version = -1

    def merge(self, fixed: Fixed | None, body: bytes, body_version: int) -> None:
        """The highest version of a cell wins; of equal versions the larger value."""
        if fixed is not None and (self.fixed is None or fixed > self.fixed):
            self.fixed = fixed
        if (body_version, body) > (self.body_version, self.body):
            self.body_version, self.body = body_version, body

    def same(self, other: "Cells") -> bool:
        """Whether nothing would change by merging them."""
        return (self.fixed, self.body_version, self.body) == (other.fixed, other.body_version, other.body)


class Bucketed(NamedTuple):
    """A mutation of one partition of events: rows or bodies, applied as a whole by a replica."""

    conversation_id: str
    bucket: int
    rows: tuple[tuple[int, Fixed | None, bytes, int], ...]


class KeyWritten(NamedTuple):
    """A mutation of one key row."""

    key: Key
    written_us: int
    row: KeyRow


class Listed(NamedTuple):
    """A mutation of a user's conversation list."""

    user_id: str
    conversation_id: str
    version: int
    member: int
    seq: int


Mutation = Bucketed | KeyWritten | Listed


def fixed_of(event: Event) -> Fixed:
    """The row of an event."""
    record = event.record
    return Fixed(
        event.kind,
        record.sender_id,
        record.record_id,
        record.client_message_id,
        event.time_us,
        event.ordinal,
        event.version,
        event.position,
        record.target_seq,
    )


def change_of(event: Event) -> tuple[bytes, int] | None:
    """Body and version that an event gives to the row it names."""
    if event.kind is Kind.EDIT:
        return edited_body(event.record.body), event.seq
    if event.kind is Kind.WITHDRAWAL:
        return b"", WITHDRAWN + event.seq
    return None


def list_rows(event: Event) -> list[Listed]:
    """What an event changes in the conversation lists."""
    name, rows = event.conversation_id, []
    if event.seq == 1 and (users := direct_members(name)) is not None:
        rows += [Listed(user, name, 0, 1, 1) for user in users]
    if event.kind is Kind.MEMBERSHIP:
        for member, users in ((1, event.record.joined), (0, event.record.left)):
            rows += [Listed(user, name, event.record.version, member, event.seq) for user in users]
    return rows


def mutations_of(events: list[Event], now_us: int) -> list[Mutation]:
    """What a write sends: each may be applied without the others."""
    rows: dict[tuple[str, int], list[tuple[int, Fixed | None, bytes, int]]] = defaultdict(list)
    others: list[Mutation] = []
    for event in events:
        row = (event.seq, fixed_of(event), event.record.body, event.seq)
        rows[(event.conversation_id, event.bucket)].append(row)
        if event.kind is not Kind.UNPROCESSABLE:
            others.append(KeyWritten(Key(*_key(event)), now_us, event.key_row()))
        if (change := change_of(event)) is not None:
            target = event.record.target_seq
            bucket = target // bucket_events()
            others.append(Bucketed(event.conversation_id, bucket, ((target, None, *change),)))
        others += list_rows(event)
    return [Bucketed(*name, tuple(found)) for name, found in rows.items()] + others


def _key(event: Event) -> tuple[str, str, str]:
    return (event.record.conversation_id, event.record.sender_id, event.record.client_message_id)


def bucket_events() -> int:
    """How many events share a partition; scenarios make it small."""
    from svc.delivery import model

    return model.BUCKET_EVENTS


@dataclass(slots=True)
class Replica:
    """One machine. Out of service it holds what it holds and is not asked."""

    number: int
    events: dict[str, dict[int, dict[int, Cells]]]
    keys: dict[Key, tuple[int, KeyRow]]
    lists: dict[tuple[str, str], tuple[int, int, int]]
    serving: bool = True
    slow: bool = False

    @classmethod
    def empty(cls, number: int) -> "Replica":
        return cls(number, defaultdict(lambda: defaultdict(dict)), {}, {})

    def apply(self, mutation: Mutation) -> None:
        """Store a mutation."""
        match mutation:
            case Bucketed(conversation_id, bucket, rows):
                held = self.events[conversation_id][bucket]
                for seq, fixed, body, version in rows:
                    if (cells := held.get(seq)) is None:
                        cells = held[seq] = Cells()
                    cells.merge(fixed, body, version)
            case KeyWritten(key, written_us, row):
                self.keys[key] = max((written_us, row), self.keys.get(key, (-1, row)), key=lambda it: it[0])
            case Listed(user, conversation_id, version, member, seq):
                name = (user, conversation_id)
                self.lists[name] = max((version, member, seq), self.lists.get(name, (-1, 0, 0)))

    def copy_from(self, other: "Replica") -> None:
        """Take over all that another one holds (repair)."""
        for conversation_id, buckets in other.events.items():
            for bucket, rows in buckets.items():
                found = tuple((seq, cells.fixed, cells.body, cells.body_version) for seq, cells in rows.items())
                self.apply(Bucketed(conversation_id, bucket, found))
        for key, (written_us, row) in other.keys.items():
            self.apply(KeyWritten(key, written_us, row))
        for (user, conversation_id), (version, member, seq) in other.lists.items():
            self.apply(Listed(user, conversation_id, version, member, seq))

    def wipe(self) -> None:
        """Lose everything."""
        self.events.clear()
        self.keys.clear()
        self.lists.clear()
