"""Takes what streams push and answers bring, and hands every event over once and in order."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from stonechat.history.v1.history_service_pb2 import ListEventsResponse
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event, HelloPage, Sent
from stonechat_client.answers import Answers
from stonechat_client.cache import Cache
from stonechat_client.digest import digest
from stonechat_client.feed import Feed
from stonechat_client.inspection import Inspection, has_place, inspect_answer, is_name
from stonechat_client.items import Item
from stonechat_client.ledger import Ledger
from stonechat_client.positions import Positions
from stonechat_client.problems import Problem, ProblemKind


class Receiver:
    """The receiving half of a session of one user. `own` is given each event of that user as it is handed over."""

    def __init__(
        self,
        user_id: str,
        known: Mapping[str, int],
        cache: Cache,
        ledger: Ledger,
        feed: Feed[Item],
        own: Callable[[ConversationEvent], None],
    ) -> None:
        self._user_id = user_id
        self._own = own
        self._cache = cache
        self._ledger = ledger
        self._feed = feed
        self._positions = Positions(self._first(known), self._begun, self._ended)
        self._inspection = Inspection({})
        self._answers = Answers()
        self._times: dict[str, int] = {}
        self.problems: Counter[ProblemKind] = Counter()
        """How often the server did what. The program is told of each while it keeps up."""
        self.missing = asyncio.Event()
        """Something is to be pulled."""

    def begin(self) -> dict[str, int]:
        """A new stream; returns what to say in Hello."""
        known = self._positions.known()
        self._inspection = Inspection(known)
        return known

    def push(self, event: Event) -> None:
        """A conversation event from the stream."""
        pushed = event.conversation_event
        name, seq = pushed.conversation_id, pushed.seq
        if not has_place(pushed):
            self.report(Problem(ProblemKind.GARBAGE, f"an event without a place was pushed: {name!r} {seq}", name, seq))
            return
        problem = self._inspection.pushed(pushed)
        if problem is not None:
            self.report(problem)
        if self._positions.was_handed(name, seq):
            self._compare(pushed)
        elif self._positions.pushed(name, seq, self._feed.has_room()):
            self._check(pushed)
            self._feed.push(event)
            self._handed(pushed)
        else:
            self._wake(name)

    def greet(self, page: HelloPage) -> None:
        """A part of the answer to Hello."""
        for conversation_id in page.gone:
            self._positions.forget(conversation_id)
        for head in page.conversations:
            if not self._is_named(head.conversation_id):
                continue
            problem = self._inspection.head(head)
            if problem is not None:
                self.report(problem)
            self._exists(head.conversation_id, head.last_seq)
        if page.complete:
            # An inbox that has nothing in it is not named. It is known all the same: what it says later is new.
            self._exists(f"inbox.{self._user_id}", 0)
            self._positions.settle()
            if self._positions.is_behind:
                self.missing.set()
            self._inspection.greeted()

    def behind(self, conversation_id: str, seq: int) -> None:
        """Events up to seq were not pushed."""
        if self._is_named(conversation_id):
            self._inspection.told(conversation_id, seq)
            self._exists(conversation_id, seq)

    def sent(self, client_message_id: str, sent: Sent) -> None:
        """An own message was acknowledged."""
        self._ledger.sent(client_message_id, sent)
        problem = self._answers.note(sent.conversation_id, client_message_id, sent.seq)
        if problem is not None:
            self.report(problem)

    def to_pull(self) -> list[str]:
        """Conversations of which something is missing, the inbox first."""
        return self._positions.missing()

    @property
    def is_behind(self) -> bool:
        """Whether something is missing."""
        return self._positions.is_behind

    def next_missing(self, conversation_id: str) -> int | None:
        """The seq that is to be pulled next, or None."""
        return self._positions.next_missing(conversation_id)

    async def pulled(self, conversation_id: str, after: int, answer: ListEventsResponse) -> None:
        """An answer of ListEvents; waits until the program has taken enough of what came before."""
        problem = inspect_answer(conversation_id, after, answer.events, answer.last_seq)
        if problem is not None:
            self.report(problem)
        for event in answer.events:
            await self._feed.room()  # meanwhile the user may have left, and joined again
            fits = event.conversation_id == conversation_id and has_place(event)
            if fits and event.seq == self._positions.next_missing(conversation_id):
                self._check(event)
                self._feed.push(Event(conversation_event=event))
                self._handed(event)
        if self._positions.next_missing(conversation_id) == after + 1:
            if problem is None:
                text = f"{conversation_id} {after + 1} was told of, and cannot be fetched"
                self.report(Problem(ProblemKind.HOLE, text, conversation_id, after + 1))
            self._positions.nothing_there(conversation_id)

    def lost(self, conversation_id: str, after: int) -> None:
        """Asked for what comes after that, the server said that the conversation is not, or no longer, the user's."""
        if self._positions.next_missing(conversation_id) == after + 1:  # else the user has joined again since
            self._positions.forget(conversation_id)

    def report(self, problem: Problem) -> None:
        """Say what the server did."""
        self.problems[problem.kind] += 1
        self._ledger.problem(problem)
        if self._feed.has_room():
            self._feed.push(problem)

    def _first(self, known: Mapping[str, int]) -> Mapping[str, int]:
        spans = self._cache.spans()
        first = {name: span.last for name, span in spans.items()} | dict(known)
        for name, seq in first.items():
            if name not in spans or spans[name].last != seq:
                self._cache.begin(name, seq)
            self._ledger.follows(name, seq)
        return first

    # What is written down of a conversation follows what the program was handed before, and is done with. The ledger first: if
    # the program dies in between, the event is handed over again, and a ledger may say so in two sessions.

    def _begun(self, conversation_id: str, seq: int) -> None:
        def record() -> None:
            self._ledger.follows(conversation_id, seq)
            self._cache.begin(conversation_id, seq)

        self._feed.after(record)

    def _ended(self, conversation_id: str, seq: int) -> None:
        def record() -> None:
            self._ledger.left(conversation_id, seq)
            self._cache.forget(conversation_id)

        self._feed.after(record)
        self._times.pop(conversation_id, None)

    def _record(self, event: ConversationEvent) -> None:
        self._ledger.saw(event)
        self._cache.add(event)

    def _compare(self, event: ConversationEvent) -> None:
        name, seq = event.conversation_id, event.seq
        held = self._cache.event(name, seq)
        # What it says may have changed since; the rest of it never does.
        if held is not None and digest(held).partition("-")[0] != digest(event).partition("-")[0]:
            self.report(Problem(ProblemKind.DIFFERENT, f"{name} {seq} was another event before", name, seq))

    def _check(self, event: ConversationEvent) -> None:
        name, seq, time_us = event.conversation_id, event.seq, event.timestamp.ToMicroseconds()
        before = self._times.get(name)
        if before is None and (held := self._cache.event(name, seq - 1)) is not None:
            before = held.timestamp.ToMicroseconds()
        if before is not None and time_us <= before:
            text = f"the time of {name} {seq} is not after that of {seq - 1}: {before - time_us} µs before it"
            self.report(Problem(ProblemKind.CLOCK, text, name, seq))
        self._times[name] = time_us
        if event.sender_id == self._user_id:
            problem = self._answers.note(name, event.client_message_id, seq)
            if problem is not None:
                self.report(problem)

    def _handed(self, event: ConversationEvent) -> None:
        self._positions.handed(event.conversation_id, event.seq)
        self._feed.after(lambda: self._record(event))
        if event.sender_id == self._user_id:
            self._own(event)
        match event.WhichOneof("body"):
            case "opened" if self._is_named(event.opened.conversation_id):
                self._exists(event.opened.conversation_id, 1)
            case "joined" if self._is_named(event.joined.conversation_id, event.joined.seq):
                self._positions.joined(event.joined.conversation_id, event.joined.seq)
                self._wake(event.joined.conversation_id)
            case "left":
                self._positions.left(event.left.conversation_id, event.left.seq)

    def _exists(self, conversation_id: str, seq: int) -> None:
        self._positions.exists(conversation_id, seq)
        self._wake(conversation_id)

    def _is_named(self, conversation_id: str, seq: int = 1) -> bool:
        if is_name(conversation_id) and seq > 0:
            return True
        text = f"a conversation was told of that can be none: {conversation_id[:100]!r} {seq}"
        self.report(Problem(ProblemKind.GARBAGE, text))
        return False

    def _wake(self, conversation_id: str) -> None:
        if self._positions.next_missing(conversation_id) is not None:
            self.missing.set()
