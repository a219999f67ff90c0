"""A round: what the owner decided about one batch of records, and in which order it may be written (protocol W1)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from svc.delivery.holding import Holding
from svc.delivery.model import Event, Verdict
from svc.kernel.eventlog import Entry, LoggedEntry

RUN_BYTES = 256 * 1024
RUN_EVENTS = 500


@dataclass(slots=True)
class Round:
    """Verdicts in log order with the holdings they were made under, what is parked, what must be appended again elsewhere, the
    frames that were relayed for each partition, and the offset after the last record for each holding: a partition that was
    lost and taken again meanwhile is read again from where it was taken, whatever this round says of it."""

    verdicts: list[Verdict] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)
    dead_letters: list[Entry] = field(default_factory=list)
    moved: list[tuple[Holding, LoggedEntry]] = field(default_factory=list)
    frames: dict[int, list[bytes]] = field(default_factory=dict)
    next_offsets: dict[Holding, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """What it holds, in verdicts and parked entries: one that names no conversation is parked without a verdict."""
        return len(self.verdicts) + len(self.dead_letters)

    def absorb(self, later: "Round") -> None:
        """Take in the round that came after this one."""
        self.verdicts += later.verdicts
        self.holdings += later.holdings
        self.dead_letters += later.dead_letters
        self.moved += later.moved
        for partition, frames in later.frames.items():
            self.frames.setdefault(partition, []).extend(frames)
        self.next_offsets |= later.next_offsets

    def events(self) -> list[Event]:
        """What has to be stored and relayed, in order."""
        return [verdict.event for verdict in self.verdicts if verdict.event is not None]


def waves(events: Iterable[Event]) -> list[Sequence[Event]]:
    """Cut events into writes that follow each other, each begun when the one before is acknowledged.

    In a wave each conversation has at most one run: contiguous, of one bucket, bounded in bytes. So at most one write is in
    flight per conversation, and a hole can never stand below a stored event.
    """
    runs: dict[str, list[list[Event]]] = defaultdict(list)
    size: dict[str, int] = {}
    for event in events:
        own = runs[event.conversation_id]
        weight = len(event.record.body)
        if (
            not own
            or own[-1][-1].bucket != event.bucket
            or len(own[-1]) >= RUN_EVENTS
            or size[event.conversation_id] + weight > RUN_BYTES
        ):
            own.append([])
            size[event.conversation_id] = 0
        own[-1].append(event)
        size[event.conversation_id] += weight
    depth = max((len(own) for own in runs.values()), default=0)
    return [[event for own in runs.values() if len(own) > at for event in own[at]] for at in range(depth)]
