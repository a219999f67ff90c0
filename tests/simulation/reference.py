"""What must come of a log: the rules of the verdict once more, told in the shortest way, with everything in memory.

It hears of each record when the log stores it, so that each step of the real thing is compared at once. Nothing here is shared
with `svc.delivery.sequencer`.
"""

import hashlib
from dataclasses import dataclass, field, replace
from itertools import zip_longest

from svc.delivery.model import Event, Key, Position
from svc.kernel.errors import MalformedRequest
from svc.kernel.eventlog import LoggedEntry
from svc.kernel.record import CHANGES, Kind, Record, decode, digest_of
from svc.kernel.relay import Outcome
from svc.kernel.shards import ShardMap

POISON = b"poison"
REPEAT_US = 24 * 3600 * 1_000_000


@dataclass(slots=True)
class Expected:
    """The right verdict on one record."""

    entry: LoggedEntry
    record: Record
    outcome: Outcome
    seq: int = 0
    record_id: int = 0
    time_us: int = 0
    event: Event | None = None


@dataclass(slots=True)
class Conversation:
    """Its events: seq n stands at n - 1."""

    events: list[Event] = field(default_factory=list)
    keys: dict[Key, Event] = field(default_factory=dict)


class Reference:
    """Verdicts of all records, by partition and offset, and by record id."""

    def __init__(self, shards: ShardMap) -> None:
        self._shards = shards
        self.conversations: dict[str, Conversation] = {}
        self.verdicts: list[list[Expected]] = [[] for _ in range(shards.partitions)]
        self.by_record: dict[int, list[Expected]] = {}
        self.eras = [1] * shards.partitions

    def events(self, conversation_id: str) -> list[Event]:
        """All events of a conversation, in order."""
        found = self.conversations.get(conversation_id)
        return found.events if found is not None else []

    def event(self, conversation_id: str, seq: int) -> Event | None:
        """One event, or None when there is none."""
        events = self.events(conversation_id)
        return events[seq - 1] if 0 < seq <= len(events) else None

    def appended(self, entry: LoggedEntry) -> None:
        """The log stored the next record of a partition."""
        expected = self._judge(entry)
        self.verdicts[entry.partition].append(expected)
        self.by_record.setdefault(expected.record.record_id, []).append(expected)

    def restart(self, partition: int, era: int, entries: list[LoggedEntry], stored: dict[str, list[Event]]) -> None:
        """After an incident of the log: what was stored stands, and what is left of the log is read once more. In the same era
        a record at or below its conversation's head is not judged again."""
        before = self.verdicts[partition] if era == self.eras[partition] else []
        self.eras[partition] = era
        for name in [name for name in self.conversations if self._shards.partition_of(name) == partition]:
            del self.conversations[name]
        for name, events in stored.items():
            known = self.conversations[name] = Conversation()
            for event in events:
                known.events.append(event)
                if event.kind is not Kind.UNPROCESSABLE:
                    known.keys[_key(event.record)] = event
        kept = {id(event) for events in stored.values() for event in events}
        for expected in self.verdicts[partition]:
            if expected.event is not None and id(expected.event) not in kept:
                self.by_record[expected.record.record_id].remove(expected)
        self.verdicts[partition] = []
        for entry, former in zip_longest(entries, before[: len(entries)]):
            events = self.events(former.record.conversation_id) if former is not None else []
            if former is not None and events and Position(era, entry.offset) <= events[-1].position:
                self.verdicts[partition].append(former)
            else:
                self.appended(entry)

    def _judge(self, entry: LoggedEntry) -> Expected:
        try:
            record = decode(entry.value)
        except MalformedRequest:
            return self._number(entry, _stand_in(entry), Kind.UNPROCESSABLE)
        if self._shards.partition_of(record.conversation_id) != entry.partition:
            return Expected(entry, record, Outcome.MOVED)
        if POISON in record.body:
            return self._number(entry, record, Kind.UNPROCESSABLE)
        known = self.conversations.setdefault(record.conversation_id, Conversation())
        first = known.keys.get(_key(record))
        if first is not None and first.time_us >= entry.appended_us - REPEAT_US:
            if digest_of(first.record) != digest_of(record):
                return Expected(entry, record, Outcome.CONFLICT)
            return Expected(entry, record, Outcome.REPEAT, first.seq, first.record.record_id, first.time_us)
        if record.not_after_us and entry.appended_us > record.not_after_us:
            return Expected(entry, record, Outcome.EXPIRED)
        if record.kind is Kind.MEMBERSHIP and known.events and record.version <= known.events[-1].version:
            return Expected(entry, record, Outcome.STALE)
        if record.kind in CHANGES and not self._may_change(record):
            return Expected(entry, record, Outcome.NO_TARGET)
        return self._number(entry, record, record.kind)

    def _may_change(self, record: Record) -> bool:
        target = self.event(record.conversation_id, record.target_seq)
        if target is None or target.kind is not Kind.MESSAGE or target.record.record_id != record.target_record_id:
            return False
        return record.kind is Kind.REACTION or target.record.sender_id == record.sender_id

    def _number(self, entry: LoggedEntry, record: Record, kind: Kind) -> Expected:
        known = self.conversations.setdefault(record.conversation_id, Conversation())
        if kind is Kind.UNPROCESSABLE:
            record = replace(record, body=b"", target_seq=0, target_record_id=0, version=0, joined=(), left=())
        before = known.events[-1] if known.events else None
        event = Event(
            record,
            kind,
            Position(self.eras[entry.partition], entry.offset),
            before.seq + 1 if before else 1,
            max(before.time_us + 1, entry.appended_us) if before else entry.appended_us,
            (before.ordinal if before else 0) + (kind is Kind.MESSAGE),
            max(before.version if before else 0, record.version),
        )
        known.events.append(event)
        outcome = Outcome.UNPROCESSABLE
        if kind is not Kind.UNPROCESSABLE:
            known.keys[_key(record)] = event
            outcome = Outcome.STORED
        return Expected(entry, record, outcome, event.seq, record.record_id, event.time_us, event)


def _key(record: Record) -> Key:
    return Key(record.conversation_id, record.sender_id, record.client_message_id)


def _stand_in(entry: LoggedEntry) -> Record:
    number = int.from_bytes(hashlib.blake2b(entry.value, digest_size=8).digest(), "big") >> 1 or 1
    return Record(Kind.UNPROCESSABLE, entry.key, "system", f"~{number}", number, b"")
