"""What is stored of a conversation, as history reads it. Times are µs since 1970, UTC; a seq counts from 1."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from svc.kernel.ids import MessageRef
from svc.kernel.record import Kind

# More than an event takes beside its body: every other field at its longest, and the tags and lengths around them.
_FIELDS_BYTES = 256


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as it is stored now. `kind` is a number of `Kind`, or one that is newer than this program.

    `body` is encoded and opaque: of a message its newest form, empty once withdrawn. `target_withdrawn` is set on an edit
    whose message was withdrawn, before or after the edit.
    """

    conversation_id: str
    seq: int
    kind: int
    sender_id: str
    record_id: int
    client_message_id: str
    time_us: int
    ordinal: int
    body: bytes
    edited: bool
    withdrawn: bool
    target_withdrawn: bool

    @property
    def must_not_show_text(self) -> bool:
        """Whether the body may hold text that was taken back."""
        return self.kind == Kind.EDIT and self.target_withdrawn

    @property
    def size_bound(self) -> int:
        """Bytes that the event takes in an answer, at most."""
        return len(self.body) + _FIELDS_BYTES


def within(max_bytes: int, events: Iterable[StoredEvent]) -> Iterator[StoredEvent]:
    """The first of them, as long as they take no more than that by their size bounds; one in any case."""
    taken = 0
    for event in events:
        taken += event.size_bound
        if taken > max_bytes and taken > event.size_bound:
            return
        yield event


@dataclass(frozen=True, slots=True)
class Run:
    """Events of one conversation, oldest first and without holes, and the seq of its newest one (0 when it has none)."""

    events: tuple[StoredEvent, ...]
    last_seq: int


@dataclass(frozen=True, slots=True)
class Window:
    """Which messages are asked for: the newest, those older than `before`, or the oldest of those newer than `after`."""

    limit: int
    before: MessageRef | None = None
    after: MessageRef | None = None


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a conversation stands in a list of them: by the time of its newest event, then by its id."""

    time_us: int
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation as one user sees it. `last_seq` and `time_us` are those of its newest event, 0 when it has none."""

    conversation_id: str
    last_seq: int
    time_us: int
    read_seq: int
    unread: int

    @property
    def place(self) -> Place:
        """Where it stands in the list."""
        return Place(self.time_us, self.conversation_id)
