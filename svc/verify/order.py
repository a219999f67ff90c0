"""The order of a conversation: numbers without holes, and everything that has to grow with them (protocol L4)."""

from svc.kernel.record import Kind
from svc.verify.model import Position, StoredEvent
from svc.verify.verdict import Fault, Verdict

_MESSAGE_LANE, _CHANGE_LANE = 0, 1


class Order:
    """Takes the events of one conversation by seq."""

    def __init__(self, verdict: Verdict, conversation_id: str) -> None:
        self._verdict = verdict
        self._name = conversation_id
        self._time_us = 0
        self._ordinal = 0
        self._version = 0
        self._position = Position(0, -1)
        self.head = 0

    def take(self, event: StoredEvent) -> None:
        """The next event."""
        follows = event.seq == self.head + 1
        self._number(event)
        if event.time_us <= self._time_us:
            self._found(
                Fault.REORDERED, event, f"its time {event.time_us} is not after {self._time_us} of the event before"
            )
        if event.position <= self._position:
            text = f"its record stands at {event.position}, that of the event before at {self._position}"
            self._found(Fault.REORDERED, event, text)
        self._membership(event, follows)
        ordinal = self._ordinal + (event.kind == Kind.MESSAGE)
        if follows and event.ordinal != ordinal:
            self._found(Fault.WRONG, event, f"its ordinal is {event.ordinal}, messages up to it are {ordinal}")
        if event.lane != (_MESSAGE_LANE if event.kind == Kind.MESSAGE else _CHANGE_LANE):
            self._found(
                Fault.WRONG, event, f"an event of kind {event.kind} stands in lane {event.lane}: not read as what it is"
            )
        # From here on it is taken as it is: one wrong row is one finding.
        self._time_us, self._position, self._ordinal = event.time_us, event.position, event.ordinal
        self.head = event.seq

    def _number(self, event: StoredEvent) -> None:
        if event.seq == self.head and self.head:
            self._found(Fault.DOUBLED, event, "two events have this number")
        elif event.seq <= self.head:
            self._found(Fault.REORDERED, event, f"it comes after {self.head}")
        elif (missing := event.seq - self.head - 1) > 0:
            span = f"it and all up to {event.seq - 1} are" if missing > 1 else "it is"
            self._verdict.found(Fault.LOST, self._name, self.head + 1, f"{span} not stored", times=missing)

    def _membership(self, event: StoredEvent, follows: bool) -> None:
        own = event.body.version if event.body is not None else event.version
        if event.version < self._version or (event.kind == Kind.MEMBERSHIP and event.version == self._version):
            text = f"its membership version is {event.version}, that of the event before {self._version}"
            self._found(Fault.REORDERED, event, text)
        elif follows and event.is_known and event.version != (expected := max(self._version, own)):
            self._found(Fault.WRONG, event, f"its membership version is {event.version}, it must be {expected}")
        self._version = event.version

    def _found(self, fault: Fault, event: StoredEvent, text: str) -> None:
        self._verdict.found(fault, self._name, event.seq, text)
