"""The whole of it: one conversation after the other, in one pass over its events and one over what ledgers say of it.

Ledgers were read before, the store is read now: so whatever a client can have seen is stored by then, also while a server
writes. Memory does not grow with the number of events, conversations or lines, but with the members of one group and the
changed messages of one conversation.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from svc.kernel.errors import Unavailable
from svc.verify.changes import check_change
from svc.verify.continuity import Continuity
from svc.verify.keys import check_key, check_named, check_twins
from svc.verify.membership import Membership
from svc.verify.order import Order
from svc.verify.places import Places, Sends
from svc.verify.ports import Archive, Snapshot, Testimony
from svc.verify.testimony import Ledger, Said, Saw, Sent
from svc.verify.verdict import Fault, Verdict

_TOLD_EVERY = 1000

Progress = Callable[[str], None]
"""Told now and then, in words, how far it is."""


class Verification:
    """One run. `settled`: every client had time to see everything. Key rows of events before `kept_since_us` may be gone."""

    def __init__(
        self, archive: Archive, testimony: Testimony, verdict: Verdict, settled: bool, kept_since_us: int
    ) -> None:
        self.verdict = verdict
        self._archive = archive
        self._testimony = testimony
        self._settled = settled
        self._kept_since_us = kept_since_us
        self._ledgers: dict[str, list[Ledger]] = defaultdict(list)

    def run(self, only: Sequence[str], progress: Progress) -> None:
        """Check these conversations (none: all that are stored or that a ledger speaks of). Raises Unavailable."""
        for ledger in self._testimony.ledgers():
            self._ledgers[ledger.user_id].append(ledger)
            self.verdict.ledgers += 1
        for where, problem in self._testimony.problems():
            if only and problem.conversation_id not in only:
                continue
            self.verdict.problems[problem.kind] += 1
            text = f"{problem.kind}: {problem.text}"
            self.verdict.found(Fault.PROBLEMS, problem.conversation_id, problem.seq, text, where)
        for name in sorted(set(only)):
            if not self._check(name, progress):
                raise Unavailable(f"nothing is stored of {name}, and no ledger speaks of it")
        following: str | None = "" if not only else None
        while following is not None and (following := self._next(following)) is not None:
            self._check(following, progress)

    def _next(self, after: str) -> str | None:
        names = (self._archive.next_conversation(after), self._testimony.next_conversation(after))
        return min((name for name in names if name is not None), default=None)

    def _check(self, name: str, progress: Progress) -> bool:
        """Check one; returns whether anything at all is known of it."""
        with self._archive.conversation(name) as snapshot:
            head, membership = self._check_events(name, snapshot, progress)
            check_named(self.verdict, name, snapshot.keys())
            check_twins(self.verdict, name, snapshot.same_key(), snapshot.same_record())
            lists = snapshot.lists(membership.members)
            membership.check(self.verdict, lists)
        spoken = self.verdict.seen, self.verdict.acknowledged
        continuity = Continuity(self.verdict, name, head, membership.members)
        continuity.check(self._counted(self._testimony.in_order(name)), self._ledgers, self._settled)
        self.verdict.conversations += 1
        progress(self._so_far())
        return bool(head or lists or spoken != (self.verdict.seen, self.verdict.acknowledged))

    def _so_far(self) -> str:
        found = sum(self.verdict.counts.values())
        return (
            f"{self.verdict.conversations:,} conversations   {self.verdict.events:,} events"
            f"{f'   {found:,} found' if found else ''}"
        )

    def _counted(self, said: Iterable[Said]) -> Iterator[Said]:
        for one in said:
            self.verdict.seen += isinstance(one.what, Saw)
            self.verdict.acknowledged += isinstance(one.what, Sent)
            yield one

    def _check_events(self, name: str, snapshot: Snapshot, progress: Progress) -> tuple[int, Membership]:
        order, membership = Order(self.verdict, name), Membership(name)
        sends = Sends(self.verdict, name, self._testimony.by_send(name))
        places = Places(self.verdict, name, self._testimony.by_place(name))
        for event in snapshot.events():
            order.take(event)
            check_key(self.verdict, event, self._kept_since_us)
            check_change(self.verdict, event)
            membership.take(event)
            sends.take(event)
            places.take(event)
            self.verdict.events += 1
            if self.verdict.events % _TOLD_EVERY == 0:
                progress(self._so_far())
        places.end()
        sends.end()
        return order.head, membership
