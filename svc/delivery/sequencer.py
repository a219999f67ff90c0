"""The verdict: a pure state machine for one partition. No I/O, no clock (protocol L2).

It sees the records of a partition in order and says of each what it becomes, from nothing but the record, its position, its
append time, and facts that never change once stored. So whoever runs it on the same log gets the same numbers.

The caller asks `missing` what has to be looked up for a batch, hands that over as `Facts`, then calls `decide` in log order.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from svc.delivery.model import (
    Event,
    Head,
    Key,
    KeyRow,
    LogIncidentError,
    Position,
    Row,
    Slice,
    Target,
    Verdict,
    key_of,
)
from svc.kernel.eventlog import LoggedEntry
from svc.kernel.record import CHANGES, KEY_WINDOW_US, Kind, Record, digest_of
from svc.kernel.relay import Outcome

_KEYS_PER_CONVERSATION = 2048
_STATE_BYTES = 400
_KEY_BYTES = 350


@dataclass(slots=True)
class Facts:
    """What was looked up for a batch. A key or target that was asked for and is not there does not exist."""

    keys: dict[Key, KeyRow] = field(default_factory=dict)
    targets: dict[tuple[str, int], Target] = field(default_factory=dict)


@dataclass(slots=True)
class Missing:
    """What has to be looked up before a batch can be judged."""

    keys: set[Key] = field(default_factory=set)
    targets: set[tuple[str, int]] = field(default_factory=set)


@dataclass(slots=True)
class _Conversation:
    era: int  # of its shard, while it lives in this partition
    head: Head
    # Rows that a former owner stored at or above our start, by position (T2).
    known: dict[Position, Row]
    # Recent keys, oldest first; it holds the key of every event whose time is `complete_since_us` or later.
    keys: OrderedDict[Key, KeyRow]
    complete_since_us: int
    # Events of this batch that the store may not have yet: what later records of it may name.
    fresh: dict[int, Target]

    def size(self) -> int:
        return _STATE_BYTES + _KEY_BYTES * len(self.keys) + _STATE_BYTES * len(self.known)


class Sequencer:
    """The state of one partition: the heads and recent keys of its active conversations, bounded in bytes. `era_of` says in
    which era the positions of a conversation count; `start`: every record below this offset is through."""

    def __init__(self, era_of: Callable[[str], int], start: int, max_bytes: int = 64 << 20) -> None:
        self._era_of = era_of
        self.start = start
        self._max_bytes = max_bytes
        self._bytes = 0
        self._conversations: OrderedDict[str, _Conversation] = OrderedDict()
        self._unsettled: dict[str, _Conversation] = {}

    def is_loaded(self, conversation_id: str) -> bool:
        """Whether records of a conversation can be judged without loading it."""
        return conversation_id in self._conversations

    def start_of(self, conversation_id: str) -> Position:
        """Everything of a conversation below this position is through."""
        return Position(self._era_of(conversation_id), self.start)

    def head(self, conversation_id: str) -> Head:
        """The head of a loaded conversation."""
        return self._conversations[conversation_id].head

    def load(self, conversation_id: str, stored: Slice, log_end: int) -> None:
        """Wake a conversation with what the store has of it (T1). Loading a loaded one changes nothing.

        Raises LogIncidentError when its head is beyond the end of the log in this era (T4).
        """
        if conversation_id in self._conversations:
            return
        position, start = stored.head.position, self.start_of(conversation_id)
        if position.era > start.era or (position.era == start.era and position.offset >= log_end):
            raise LogIncidentError(
                f"{conversation_id}: its newest event is at {position}, beyond the log's end {log_end}"
            )
        state = _Conversation(
            era=start.era,
            head=stored.head,
            known={row.position: row for row in stored.rows if row.position >= start},
            keys=OrderedDict(),
            # Times grow: whatever is numbered from now on is later. Without events the window reaches back for ever.
            complete_since_us=stored.head.time_us + 1 if stored.head.seq else 0,
            fresh={},
        )
        self._conversations[conversation_id] = state
        self._bytes += state.size()

    def missing(self, batch: Iterable[tuple[LoggedEntry, Record]]) -> Missing:
        """What has to be looked up for a batch of records of loaded conversations."""
        missing = Missing()
        for entry, record in batch:
            state = self._conversations[record.conversation_id]
            key = key_of(record)
            if key not in state.keys and not self._window_covers(state, entry.appended_us):
                missing.keys.add(key)
            if record.kind in CHANGES:
                missing.targets.add((record.conversation_id, record.target_seq))
        return missing

    def decide(self, entry: LoggedEntry, record: Record, facts: Facts) -> Verdict:
        """The verdict on the next record of the partition. Its conversation must be loaded.

        Raises LogIncidentError when the log contradicts the store (T4). Any other exception is a bug: call `unprocessable`.
        """
        state = self._conversations[record.conversation_id]
        self._conversations.move_to_end(record.conversation_id)
        position = Position(state.era, entry.offset)
        if position <= state.head.position:
            return self._known(state, entry, record, position, facts)
        if (first := self._first_with_key(state, entry, record, facts)) is not None:
            return _repeat(record, first)
        if _is_expired(entry, record):
            return Verdict(record, Outcome.EXPIRED)
        if record.kind is Kind.MEMBERSHIP and record.version <= state.head.version:
            return Verdict(record, Outcome.STALE)
        if record.kind in CHANGES and not self._may_change(state, record, facts):
            return Verdict(record, Outcome.NO_TARGET)
        return self._number(state, entry, record, position, record.kind, Outcome.STORED)

    def unprocessable(self, entry: LoggedEntry, record: Record, error: str) -> Verdict:
        """Number a record that cannot be processed: a bug may change a row, never a number (L3). It gets no key row, so that
        its replay is a new event (L8)."""
        state = self._conversations[record.conversation_id]
        position = Position(state.era, entry.offset)
        if position > state.head.position:
            return self._number(state, entry, _bare(record), position, Kind.UNPROCESSABLE, Outcome.UNPROCESSABLE, error)
        row = state.known.get(position)
        if row is None:
            return Verdict(record, Outcome.UNPROCESSABLE, error=error)
        if row.kind is Kind.UNPROCESSABLE:
            return _answer(record, Outcome.UNPROCESSABLE, event_again(record, row), error)
        return _answer(record, Outcome.STORED, event_again(record, row))

    def settled(self) -> list[str]:
        """The batch is stored: forget what only mattered until then, and idle conversations beyond the memory limit. Returns
        those that were forgotten."""
        forgotten = []
        for state in self._unsettled.values():
            state.fresh.clear()
            self._forget_keys(state)
        self._unsettled.clear()
        while self._bytes > self._max_bytes and len(self._conversations) > 1:
            conversation_id, state = self._conversations.popitem(last=False)
            self._bytes -= state.size()
            forgotten.append(conversation_id)
        return forgotten

    def is_through(self, conversation_id: str, position: Position) -> bool:
        """Whether the record of a conversation at a position has been stored and relayed with all that belongs to it."""
        start = self.start_of(conversation_id)
        return position.era == start.era and position < start

    def advanced(self, offset: int) -> None:
        """Every record below `offset` is through: conversations loaded from now on need no older rows."""
        self.start = offset

    def forget(self, gone: Callable[[str], bool]) -> list[str]:
        """Forget the conversations that live here no more; returns them. Not between `missing` and `settled`."""
        forgotten = [name for name in self._conversations if gone(name)]
        for name in forgotten:
            self._bytes -= self._conversations.pop(name).size()
        return forgotten

    def _known(
        self, state: _Conversation, entry: LoggedEntry, record: Record, position: Position, facts: Facts
    ) -> Verdict:
        """A record at or below the head is never judged again (T2)."""
        row = state.known.get(position)
        if row is not None:
            if row.record_id != record.record_id:
                raise LogIncidentError(f"{record.conversation_id}: another record stands at {position}")
            if row.kind is Kind.UNPROCESSABLE:
                return self.unprocessable(entry, record, "it was parked before")
            event = event_again(record, row)
            self._remember(state, event)
            return _answer(record, Outcome.STORED, event)
        if (first := self._first_with_key(state, entry, record, facts)) is not None:
            return _repeat(record, first)
        if _is_expired(entry, record):
            return Verdict(record, Outcome.EXPIRED)
        if record.kind in CHANGES:
            return Verdict(record, Outcome.NO_TARGET)
        if record.kind is Kind.MEMBERSHIP and record.version <= state.head.version:
            return Verdict(record, Outcome.STALE)
        raise LogIncidentError(
            f"{record.conversation_id}: nothing is known of the record at {position}, below the head"
        )

    def _number(
        self,
        state: _Conversation,
        entry: LoggedEntry,
        record: Record,
        position: Position,
        kind: Kind,
        outcome: Outcome,
        error: str = "",
    ) -> Verdict:
        before = state.head
        event = Event(
            record=record,
            kind=kind,
            position=position,
            seq=before.seq + 1,
            time_us=max(before.time_us + 1, entry.appended_us),
            ordinal=before.ordinal + (kind is Kind.MESSAGE),
            version=max(before.version, record.version),
        )
        if kind is not Kind.UNPROCESSABLE:
            self._remember(state, event)
        state.head = event.head()
        self._unsettled[event.conversation_id] = state
        state.fresh[event.seq] = Target(event.seq, record.record_id, record.sender_id, kind)
        return _answer(record, outcome, event, error)

    def _remember(self, state: _Conversation, event: Event) -> None:
        state.keys[key_of(event.record)] = event.key_row()
        self._bytes += _KEY_BYTES
        self._unsettled[event.conversation_id] = state

    def _forget_keys(self, state: _Conversation) -> None:
        # Only between batches: what is judged relies on what `missing` saw in memory.
        while len(state.keys) > _KEYS_PER_CONVERSATION:
            _, dropped = state.keys.popitem(last=False)
            state.complete_since_us = max(state.complete_since_us, dropped.time_us + 1)
            self._bytes -= _KEY_BYTES

    @staticmethod
    def _window_covers(state: _Conversation, appended_us: int) -> bool:
        return state.complete_since_us <= max(0, appended_us - KEY_WINDOW_US)

    def _first_with_key(self, state: _Conversation, entry: LoggedEntry, record: Record, facts: Facts) -> KeyRow | None:
        key = key_of(record)
        first = state.keys.get(key) or facts.keys.get(key)
        # A key row at or above our position is not an earlier record's: another owner is ahead of us. One above the head was
        # written without its event.
        if first is None or first.position >= Position(state.era, entry.offset) or first.seq > state.head.seq:
            return None
        return first if first.time_us >= entry.appended_us - KEY_WINDOW_US else None

    @staticmethod
    def _may_change(state: _Conversation, record: Record, facts: Facts) -> bool:
        if record.target_seq > state.head.seq:
            return False  # another owner, ahead of us, may have stored it already
        target = state.fresh.get(record.target_seq) or facts.targets.get((record.conversation_id, record.target_seq))
        if target is None or target.record_id != record.target_record_id or target.kind is not Kind.MESSAGE:
            return False
        return record.kind is Kind.REACTION or target.sender_id == record.sender_id


def _is_expired(entry: LoggedEntry, record: Record) -> bool:
    return bool(record.not_after_us) and entry.appended_us > record.not_after_us


def _bare(record: Record) -> Record:
    return replace(record, body=b"", target_seq=0, target_record_id=0, version=0, joined=(), left=())


def event_again(record: Record, row: Row) -> Event:
    """The event that a record became, by the row that it has: what is written is the same each time (T2)."""
    record = _bare(record) if row.kind is Kind.UNPROCESSABLE else record
    return Event(record, row.kind, row.position, row.seq, row.time_us, row.ordinal, row.version)


def _answer(record: Record, outcome: Outcome, event: Event, error: str = "") -> Verdict:
    return Verdict(record, outcome, event.seq, event.record.record_id, event.time_us, event, error)


def _repeat(record: Record, first: KeyRow) -> Verdict:
    if first.digest != digest_of(record):
        return Verdict(record, Outcome.CONFLICT)
    return Verdict(record, Outcome.REPEAT, first.seq, first.record_id, first.time_us)
