"""What each client saw of a conversation from beginning to end: everything, once, in order.

A session claims what stands above its `from`. Whoever is said to be quiet (`settled`) has to have reached the end as well.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from svc.verify.model import Member
from svc.verify.testimony import From, Ledger, Left, Said, Saw, Sent
from svc.verify.verdict import Fault, Verdict


@dataclass(slots=True)
class _View:
    """What one session has of the conversation. `known`: without holes up to here. `early`: seen above that."""

    user_id: str
    began: int
    known: int
    newest: int
    where: str
    early: set[int] = field(default_factory=set)
    following: bool = True

    def has(self, seq: int) -> bool:
        return self.began < seq <= self.known or seq in self.early

    def add(self, seq: int) -> None:
        self.early.add(seq)
        while self.known + 1 in self.early:
            self.known += 1
            self.early.remove(self.known)
        self.newest = max(seq, self.newest)


class Continuity:
    """One conversation. `head`: its newest stored seq; `members`: who has been part of it."""

    def __init__(self, verdict: Verdict, conversation_id: str, head: int, members: Mapping[str, Member]) -> None:
        self._verdict = verdict
        self._name = conversation_id
        self._head = head
        self._members = members

    def check(self, said: Iterable[Said], ledgers: Mapping[str, Sequence[Ledger]], settled: bool) -> None:
        """What ledgers say of it, one after the other, each in its order. `ledgers`: all there are, by user."""
        mentioned: set[int] = set()
        lines = (one for one in said if not isinstance(one.what, Sent))
        for number, of_ledger in groupby(lines, lambda one: one.ledger.number):
            mentioned.add(number)
            view: _View | None = None
            for _, of_session in groupby(of_ledger, lambda one: one.session):
                self._close(view)
                view = None
                for one in of_session:
                    view = self._take(one, view)
            if view is not None:
                self._leave(view, settled)
        if settled:
            self._check_mentioned(mentioned, ledgers)

    def _take(self, said: Said, view: _View | None) -> _View:
        what = said.what
        if what.seq > self._head and not isinstance(what, Saw):
            text = f"a client had events up to {what.seq}, stored are those up to {self._head}"
            self._found(Fault.LOST, what.seq, text, said.where, what.seq - self._head)
        if view is None or (isinstance(what, From) and not view.following):
            return _View(said.ledger.user_id, what.seq, what.seq, what.seq, said.where)
        view.where = said.where
        match what:
            case From(_, seq):
                self._go_on(view, seq)
            case Saw(_, seq):
                self._saw(view, seq)
            case Left(_, seq):
                view.newest = max(seq, view.newest)
                self._close(view)
                view.following = False
        return view

    def _go_on(self, view: _View, seq: int) -> None:
        """A `from` of what is followed already: fine, unless it passes over something."""
        passed = seq - view.known - sum(number <= seq for number in view.early)
        if passed > 0:
            text = f"never saw {_span(view.known + 1, passed)}, and went on from {seq}"
            self._found(Fault.LOST, view.known + 1, text, view.where, passed)
        if seq > view.known:
            view.began = view.known = seq
            view.early = {number for number in view.early if number > seq}
            view.newest = max(seq, view.newest)

    def _saw(self, view: _View, seq: int) -> None:
        if view.has(seq):
            self._found(Fault.DOUBLED, seq, "it was handed over twice in one session", view.where)
            return
        if seq <= view.began:
            self._found(
                Fault.REORDERED, seq, f"it was handed over although the session began at {view.began}", view.where
            )
            return
        if seq < view.newest:
            self._found(Fault.REORDERED, seq, f"it was handed over after {view.newest}", view.where)
        view.add(seq)

    def _close(self, view: _View | None) -> None:
        """A session has ended, or left: holes in what it saw are not going to be filled."""
        if view is not None and view.following and (missing := view.newest - view.known - len(view.early)) > 0:
            text = f"never saw {_span(view.known + 1, missing)}, but {view.newest}"
            self._found(Fault.LOST, view.known + 1, text, view.where, missing)

    def _leave(self, view: _View, settled: bool) -> None:
        """A ledger says no more."""
        member = self._members.get(view.user_id)
        if not settled or member is None:
            self._close(view)
            return
        if not member.member and not view.following:
            return
        end = max(self._head if member.member else member.seq, view.newest)
        if (missing := end - view.known - len(view.early)) > 0:
            gone = "" if view.following else " and left, but is part of it"
            text = f"{view.user_id} never saw {_span(view.known + 1, missing)}{gone}; the newest is {end}"
            self._found(Fault.LOST, view.known + 1, text, view.where, missing)

    def _check_mentioned(self, mentioned: set[int], ledgers: Mapping[str, Sequence[Ledger]]) -> None:
        """Who became part of it while a client of theirs ran must have heard of it."""
        for user, member in self._members.items():
            for ledger in ledgers.get(user, ()):
                if member.member and member.time_us > ledger.began_us and ledger.number not in mentioned:
                    text = f"{user} never heard of it; the newest is {self._head}"
                    self._found(Fault.LOST, member.seq, text, ledger.place, self._head - member.seq + 1)

    def _found(self, fault: Fault, seq: int, text: str, where: str, times: int = 1) -> None:
        self._verdict.found(fault, self._name, seq, text, where, times)


def _span(first: int, count: int) -> str:
    return f"{first}" if count == 1 else f"{first} and {count - 1} more"
