"""The ledger: what clients know first-hand, held against what is stored.

A client writes down what it was acknowledged and what it saw. `check` counts what was lost, doubled or reordered; it knows
neither transport nor store.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Place = tuple[str, int]
"""A conversation and a seq."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One send, as its sender was told that it is stored."""

    conversation_id: str
    client_message_id: str
    message_id: str
    seq: int
    content: str


@dataclass(frozen=True, slots=True)
class Stored:
    """One event, as it was read back. `digest` stands for everything about it; `content` is empty unless it is a message."""

    conversation_id: str
    seq: int
    time_us: int
    sender_id: str
    client_message_id: str
    message_id: str
    content: str
    digest: str


@dataclass(slots=True)
class Ledger:
    """What one client of a user wrote down. It sends to a conversation one message after the other, so `acknowledged` is in
    the order in which it meant them. `faults` are sentences about what a stream may never do."""

    user_id: str
    acknowledged: list[Acknowledged] = field(default_factory=list)
    pushed: dict[Place, str] = field(default_factory=dict)
    pulled: dict[Place, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Verdict:
    """What is wrong, one sentence each; nothing in a run that kept its promises."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = f"lost {len(self.lost)} doubled {len(self.doubled)} reordered {len(self.reordered)}"
        examples = [*self.lost[:5], *self.doubled[:5], *self.reordered[:5], *self.faults[:10]]
        return "\n  ".join([counts, *examples])

    @property
    def clean(self) -> bool:
        """Every promise was kept."""
        return not (self.lost or self.doubled or self.reordered or self.faults)


def check(
    ledgers: Iterable[Ledger], stored: Mapping[str, Sequence[Stored]], members: Mapping[str, Iterable[str]]
) -> Verdict:
    """Hold ledgers against the events of each conversation, in the order in which they were read. `members` have been part of
    a conversation from its first event to its last, so each of them must have seen all of it."""
    verdict = Verdict()
    for conversation_id, events in stored.items():
        _check_order(verdict, conversation_id, events)
    for ledger in ledgers:
        verdict.faults += ledger.faults
        _check_acknowledged(verdict, ledger, stored)
        _check_seen(verdict, ledger, stored, members)
    return verdict


def _check_order(verdict: Verdict, conversation_id: str, events: Sequence[Stored]) -> None:
    keys = Counter((event.sender_id, event.client_message_id) for event in events if event.client_message_id)
    verdict.doubled += [f"{conversation_id}: {key} is stored {count} times" for key, count in keys.items() if count > 1]
    for number, event in enumerate(events, start=1):
        if event.seq != number:
            verdict.reordered.append(f"{conversation_id}: event {number} has seq {event.seq}")
            break
    for before, event in pairwise(events):
        if event.time_us <= before.time_us:
            verdict.reordered.append(f"{conversation_id}: the time of {event.seq} is not after that of {before.seq}")


def _check_acknowledged(verdict: Verdict, ledger: Ledger, stored: Mapping[str, Sequence[Stored]]) -> None:
    newest: dict[str, int] = {}
    for sent in ledger.acknowledged:
        event = _at(stored, sent.conversation_id, sent.seq)
        found = event and (event.sender_id, event.client_message_id, event.message_id, event.content)
        if found != (ledger.user_id, sent.client_message_id, sent.message_id, sent.content):
            verdict.lost.append(f"{sent} of {ledger.user_id} was acknowledged; stored is {event}")
        if sent.seq <= newest.get(sent.conversation_id, 0):
            verdict.reordered.append(f"{sent} of {ledger.user_id} stands before what it sent earlier")
        newest[sent.conversation_id] = max(sent.seq, newest.get(sent.conversation_id, 0))


def _check_seen(
    verdict: Verdict, ledger: Ledger, stored: Mapping[str, Sequence[Stored]], members: Mapping[str, Iterable[str]]
) -> None:
    for seen in (ledger.pushed, ledger.pulled):
        for (conversation_id, seq), digest in seen.items():
            event = _at(stored, conversation_id, seq)
            if event is None:
                verdict.lost.append(f"{ledger.user_id} saw {conversation_id} {seq}, which is not stored")
            elif event.digest != digest:
                verdict.reordered.append(f"{ledger.user_id} saw another event at {conversation_id} {seq}")
    for conversation_id, users in members.items():
        if ledger.user_id in users:
            verdict.lost += [
                f"{ledger.user_id} never saw {conversation_id} {event.seq}"
                for event in stored[conversation_id]
                if (conversation_id, event.seq) not in ledger.pushed
                and (conversation_id, event.seq) not in ledger.pulled
            ]


def _at(stored: Mapping[str, Sequence[Stored]], conversation_id: str, seq: int) -> Stored | None:
    events = stored.get(conversation_id, ())
    return events[seq - 1] if 0 < seq <= len(events) else None
