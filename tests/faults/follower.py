"""One client's view of its conversations: counts what it is pushed, knows what it has to pull, writes it all down in order.

It takes a server at its word: on one stream each event comes once and in order, and what does not come is told of before.
"""

from collections.abc import Iterable

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event
from stonechat_client.digest import digest
from tests.faults.ledger import Ledger


class Follower:
    """The bookkeeping of one client, over any number of streams. It sends to a conversation one message after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.complete = False
        """Hello was answered on this stream."""
        self.pushed = self.pulled = 0
        """How many events came in which way."""
        self._seen: dict[tuple[str, int], str] = {}  # their digests
        self._early: dict[tuple[str, int], ConversationEvent] = {}  # above a hole, so not written down yet
        self._known: dict[str, int] = {}  # without holes up to here, and written down
        self._wanted: dict[str, int] = {}  # exists up to here
        self._told: dict[str, int] = {}  # on this stream: pushed, or told to pull, up to here
        self._pushed: dict[str, int] = {}  # on this stream
        self._heads: dict[str, int] = {}  # on this stream, of the pages of Hello so far
        self._untold: list[tuple[str, int]] = []  # on this stream: pushed before Hello was answered
        self._meant: dict[str, str] = {}  # client message id → content
        self._placed: dict[str, int] = {}  # the newest own place

    def begin(self, *, from_scratch: bool = False) -> dict[str, int]:
        """A new stream; returns what to say in Hello. A stream that is not told what is known begins from scratch."""
        self.complete = False
        self._told = {} if from_scratch else dict(self._known)
        self._pushed = {}
        self._untold, self._heads = [], {}
        return dict(self._known)

    def greeted(self, heads: dict[str, int]) -> None:
        """All conversations that there are, with their newest events: Hello is answered. What was pushed before that had no
        need to be told of before, only by now."""
        for name, seq in heads.items():
            self._tell(name, seq)
        self.complete = True
        for name, seq in self._untold:
            self._expect(name, seq)

    def take(self, event: Event) -> None:
        """What came down the stream."""
        match event.WhichOneof("payload"):
            case "conversation_event":
                self._push(event.conversation_event)
            case "hello_page":
                for name in event.hello_page.gone:
                    self.ledger.problem("shrunk", f"told that {name} is gone", name)
                self._heads |= {head.conversation_id: head.last_seq for head in event.hello_page.conversations}
                if event.hello_page.complete:
                    self.greeted(self._heads)
            case "behind":
                self._tell(event.behind.conversation_id, event.behind.last_seq)

    def take_page(self, events: Iterable[ConversationEvent]) -> None:
        """An answer of ListEvents."""
        for event in events:
            self.pulled += 1
            self._note(event)

    def means(self, client_message_id: str, content: str) -> None:
        """This is going to be sent under that id."""
        self._meant[client_message_id] = content

    def acknowledged(self, conversation_id: str, seq: int, client_message_id: str, message_id: str) -> None:
        """A send got its place."""
        self.ledger.sent(conversation_id, seq, client_message_id, message_id)
        before = self._placed.get(conversation_id, 0)
        if seq <= before:
            text = f"{client_message_id} stands at {seq}, before what was sent earlier ({before})"
            self.ledger.problem("reordered", text, conversation_id, seq)
        self._placed[conversation_id] = max(seq, before)

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
        self.pushed += 1
        if (before := self._pushed.get(name, 0)) >= seq:
            kind = "duplicate" if before == seq else "reordered"
            self.ledger.problem(kind, f"{name} {seq} was pushed after {before} on one stream", name, seq)
        if self.complete:
            self._expect(name, seq)
        else:
            self._untold.append((name, seq))
        self._pushed[name] = seq
        self._wanted[name] = max(seq, self._wanted.get(name, 0))
        self._note(event)

    def _expect(self, name: str, seq: int) -> None:
        told = self._told.get(name, 0)
        if seq > told + 1:
            self.ledger.problem("hole", f"{name} {seq} was pushed, nothing was said of {told + 1}", name, seq)
        self._told[name] = max(seq, told)

    def _tell(self, name: str, seq: int) -> None:
        self._told[name] = max(seq, self._told.get(name, 0))
        self._wanted[name] = max(seq, self._wanted.get(name, 0))

    def _note(self, event: ConversationEvent) -> None:
        name, seq, what = event.conversation_id, event.seq, digest(event)
        if (before := self._seen.setdefault((name, seq), what)) != what:
            self.ledger.problem("different", f"{name} {seq} was another event before: {before}, now {what}", name, seq)
        elif seq > self._known.get(name, 0):
            self._early[name, seq] = event
            self._write(name)
        meant = self._meant.get(event.client_message_id)
        if event.sender_id == self.ledger.user_id and meant not in (None, event.message.content):
            text = f"{event.client_message_id} was sent as {meant!r} and stands there as {event.message.content!r}"
            self.ledger.problem("different", text, name, seq)
        match event.WhichOneof("body"):
            case "opened":
                self._wanted.setdefault(event.opened.conversation_id, 1)
            case "joined":
                joined = event.joined
                self._wanted[joined.conversation_id] = max(joined.seq, self._wanted.get(joined.conversation_id, 0))

    def _write(self, name: str) -> None:
        if name not in self._known:
            self._known[name] = 0
            self.ledger.follows(name, 0)
        while (event := self._early.pop((name, self._known[name] + 1), None)) is not None:
            self.ledger.saw(event)
            self._known[name] += 1
