"""The verdict: what was looked at, what is wrong with it, and the first offender of each kind."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Fault(StrEnum):
    """What can be wrong. The first three are the promises to people; `wrong` is a store that contradicts itself, `problems` are
    what clients noticed by themselves."""

    LOST = "lost"
    DOUBLED = "doubled"
    REORDERED = "reordered"
    WRONG = "wrong"
    PROBLEMS = "problems"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `ledger` is `file:line` when a client says so, else empty."""

    fault: Fault
    conversation_id: str
    seq: int
    text: str
    ledger: str = ""

    def __str__(self) -> str:
        place = f"{self.conversation_id or 'no conversation'}{f' {self.seq}' if self.seq else ''}"
        return f"{self.fault}: {place}: {self.text}{f' ({self.ledger})' if self.ledger else ''}"


@dataclass(slots=True)
class Verdict:
    """Counts everything; keeps the first `keep` findings of each kind."""

    keep: int = 1
    conversations: int = 0
    events: int = 0
    ledgers: int = 0
    acknowledged: int = 0
    seen: int = 0
    counts: Counter[Fault] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def found(self, fault: Fault, conversation_id: str, seq: int, text: str, ledger: str = "", times: int = 1) -> None:
        """Something is wrong; `times` when one finding stands for several events."""
        if self.counts[fault] == 0 or sum(one.fault is fault for one in self.findings) < self.keep:
            self.findings.append(Finding(fault, conversation_id, seq, text, ledger))
        self.counts[fault] += times

    @property
    def clean(self) -> bool:
        """Nothing is wrong."""
        return not self.findings

    def totals(self) -> Mapping[str, int]:
        """What was looked at."""
        return {
            "conversations": self.conversations,
            "events": self.events,
            "ledgers": self.ledgers,
            "acknowledged": self.acknowledged,
            "seen": self.seen,
        }
