"""One client's view of its conversations: counts what it is pushed, knows what it has to pull, writes it all down.

It takes a server at its word: on one stream each event comes once and in order, and what does not come is told of before.
"""

import hashlib
from collections.abc import Iterable

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event
from tests.faults.ledger import Ledger


def digest(event: ConversationEvent) -> str:
    """Stands for all that an event says."""
    return hashlib.blake2b(event.SerializeToString(deterministic=True), digest_size=16).hexdigest()


class Follower:
    """The bookkeeping of one client, over any number of streams."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.complete = False
        """Hello was answered on this stream."""
        self._known: dict[str, int] = {}  # without holes up to here
        self._wanted: dict[str, int] = {}  # exists up to here
        self._told: dict[str, int] = {}  # on this stream: pushed, or told to pull, up to here
        self._pushed: dict[str, int] = {}  # on this stream
        self._heads: dict[str, int] = {}  # on this stream, of the pages of Hello so far
        self._early: list[tuple[str, int]] = []  # on this stream: pushed before Hello was answered

    def begin(self, *, from_scratch: bool = False) -> dict[str, int]:
        """A new stream; returns what to say in Hello. A stream that is not told what is known begins from scratch."""
        self.complete = False
        self._told = {} if from_scratch else dict(self._known)
        self._pushed = {}
        self._early, self._heads = [], {}
        return dict(self._known)

    def greeted(self, heads: dict[str, int]) -> None:
        """All conversations that there are, with their newest events: Hello is answered. What was pushed before that had no
        need to be told of before, only by now."""
        for name, seq in heads.items():
            self._tell(name, seq)
        self.complete = True
        for name, seq in self._early:
            self._expect(name, seq)

    def take(self, event: Event) -> None:
        """What came down the stream."""
        match event.WhichOneof("payload"):
            case "conversation_event":
                self._push(event.conversation_event)
            case "hello_page":
                if event.hello_page.gone:
                    self.ledger.faults.append(f"told that {list(event.hello_page.gone)} are gone")
                self._heads |= {head.conversation_id: head.last_seq for head in event.hello_page.conversations}
                if event.hello_page.complete:
                    self.greeted(self._heads)
            case "behind":
                self._tell(event.behind.conversation_id, event.behind.last_seq)

    def pulled(self, events: Iterable[ConversationEvent]) -> None:
        """An answer of ListEvents."""
        for event in events:
            self._write(self.ledger.pulled, event)

    def missing(self) -> list[tuple[str, int]]:
        """Conversations that go further than what is known, and up to where that is."""
        return [
            (name, self._known.get(name, 0))
            for name, wanted in list(self._wanted.items())
            if wanted > self._known.get(name, 0)
        ]

    def knows(self, heads: dict[str, int]) -> bool:
        """Whether it has all of these conversations, up to their newest events."""
        return all(self._known.get(name, 0) >= seq for name, seq in heads.items())

    def _push(self, event: ConversationEvent) -> None:
        name, seq = event.conversation_id, event.seq
        if seq <= self._pushed.get(name, 0):
            self.ledger.faults.append(f"{name} {seq} was pushed after {self._pushed[name]} on one stream")
        if self.complete:
            self._expect(name, seq)
        else:
            self._early.append((name, seq))
        self._pushed[name] = seq
        self._wanted[name] = max(seq, self._wanted.get(name, 0))
        self._write(self.ledger.pushed, event)

    def _expect(self, name: str, seq: int) -> None:
        told = self._told.get(name, 0)
        if seq > told + 1:
            self.ledger.faults.append(f"{name} {seq} was pushed, nothing was said of {told + 1}")
        self._told[name] = max(seq, told)

    def _tell(self, name: str, seq: int) -> None:
        self._told[name] = max(seq, self._told.get(name, 0))
        self._wanted[name] = max(seq, self._wanted.get(name, 0))

    def _write(self, seen: dict[tuple[str, int], str], event: ConversationEvent) -> None:
        name, seq, what = event.conversation_id, event.seq, digest(event)
        if seen.setdefault((name, seq), what) != what:
            self.ledger.faults.append(f"{name} {seq} was another event before")
        pushed, pulled = self.ledger.pushed, self.ledger.pulled
        known = self._known.get(name, 0)
        while (name, known + 1) in pushed or (name, known + 1) in pulled:
            known += 1
        self._known[name] = known
        match event.WhichOneof("body"):
            case "opened":
                self._wanted.setdefault(event.opened.conversation_id, 1)
            case "joined":
                joined = event.joined
                self._wanted[joined.conversation_id] = max(joined.seq, self._wanted.get(joined.conversation_id, 0))
