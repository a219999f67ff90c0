"""Whether one stream keeps what the contract promises. Pure; no I/O.

The promises: each event is pushed once and in order; what is not pushed is told of before (Hello, Behind); a conversation never
gets shorter; what is told of can be fetched.
"""

from collections.abc import Mapping, Sequence

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import ConversationHead
from stonechat_client.problems import Problem, ProblemKind

_DIRECT = ("d.", "inbox.")
_NAME_BYTES = 64
_LAST_SECOND = 253_402_300_799  # of the year 9999: what a Timestamp can hold


class Inspection:
    """Looks at what comes down one stream that began with a Hello of what is known."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self._known = known
        self._told = dict(known)
        """Events up to here were pushed, or told to be pulled."""
        self._pushed: dict[str, int] = {}
        self._greeted = False

    def greeted(self) -> None:
        """Hello was answered whole. What was pushed while it was being answered needed no telling."""
        self._greeted = True
        for name, seq in self._pushed.items():
            self.told(name, seq)

    def told(self, conversation_id: str, seq: int) -> None:
        """The server says that there are events up to seq."""
        self._told[conversation_id] = max(seq, self._told.get(conversation_id, 0))

    def head(self, head: ConversationHead) -> Problem | None:
        """A conversation that Hello's answer names."""
        self.told(head.conversation_id, head.last_seq)
        known = self._known.get(head.conversation_id, 0)
        if head.last_seq >= known:
            return None
        text = f"{head.conversation_id} ends at {head.last_seq}; events up to {known} were handed over before"
        return Problem(ProblemKind.SHRUNK, text, head.conversation_id, head.last_seq)

    def pushed(self, event: ConversationEvent) -> Problem | None:
        """An event that has its place. After DUPLICATE and REORDERED it must not be handed over."""
        name, seq = event.conversation_id, event.seq
        newest, told = self._pushed.get(name, 0), self._told.get(name)
        if seq == newest:
            return Problem(ProblemKind.DUPLICATE, f"{name} {seq} was pushed twice on one stream", name, seq)
        if seq < newest:
            return Problem(ProblemKind.REORDERED, f"{name} {seq} was pushed after {newest} on one stream", name, seq)
        self._pushed[name] = seq
        self.told(name, seq)
        if told is None and name.startswith(_DIRECT):
            told = 0  # these are heard of from their first event on
        if self._greeted and told is not None and seq > told + 1:
            return Problem(ProblemKind.HOLE, f"{name} {seq} was pushed; nothing was said of {told + 1}", name, seq)
        return None


def is_name(conversation_id: str) -> bool:
    """Whether it can name a conversation. What cannot would be refused when it is said to a server."""
    return 0 < len(conversation_id.encode()) <= _NAME_BYTES


def has_place(said: ConversationEvent) -> bool:
    """Whether an event says where it stands, the same in each of its fields, and when. No store counts beyond 63 bits."""
    at = said.timestamp
    return (
        is_name(said.conversation_id)
        and 0 < said.seq < 2**63
        and said.message_id.endswith(f".{said.seq}")
        and 0 <= at.seconds <= _LAST_SECOND
        and 0 <= at.nanos < 1_000_000_000
    )


def inspect_answer(
    conversation_id: str, after: int, events: Sequence[ConversationEvent], last_seq: int
) -> Problem | None:
    """An answer of ListEvents: events after + 1, + 2 …, up to last_seq. The first thing that is wrong with it."""
    if last_seq < after:
        text = f"{conversation_id} ends at {last_seq}; events up to {after} were handed over before"
        return Problem(ProblemKind.SHRUNK, text, conversation_id, last_seq)
    for expected, event in enumerate(events, start=after + 1):
        if event.conversation_id != conversation_id or not has_place(event):
            text = (
                f"an answer for {conversation_id} has an event that is not of it: {event.conversation_id} {event.seq}"
            )
            return Problem(ProblemKind.GARBAGE, text, conversation_id, expected)
        if event.seq != expected:
            kind = ProblemKind.HOLE if event.seq > expected else ProblemKind.REORDERED
            text = f"{conversation_id} {event.seq} was answered in the place of {expected}"
            return Problem(kind, text, conversation_id, expected)
    return None
