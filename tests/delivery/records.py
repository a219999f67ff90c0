"""Short ways to write down what a log holds and what a store gave back."""

from svc.delivery.model import Event, Head, Key, KeyRow, Position, Row, Slice, Target, Verdict
from svc.delivery.sequencer import Facts, Sequencer
from svc.kernel.eventlog import LoggedEntry
from svc.kernel.record import Kind, Record

NAME = "d.u1.u2"
HOUR_US = 3600 * 1_000_000
NOTHING = Slice(Head(0, 0, 0, 0, Position(0, -1)), ())


def message(client_message_id: str, record_id: int, body: bytes = b"hi", **more: object) -> Record:
    """A record of u1 in NAME."""
    return Record(Kind.MESSAGE, NAME, "u1", client_message_id, record_id, body, **more)  # type: ignore[arg-type]


def change(kind: Kind, record_id: int, target_seq: int, target_record_id: int, sender: str = "u1") -> Record:
    """A record that names an event."""
    return Record(kind, NAME, sender, f"c{record_id}", record_id, b"", target_seq, target_record_id)


def entry(offset: int, appended_us: int | None = None) -> LoggedEntry:
    """Where a record stands. By default one is appended each second."""
    return LoggedEntry(0, offset, offset * 1_000_000 if appended_us is None else appended_us, NAME, b"")


class Partition:
    """A sequencer with what its store holds: looks up what it asks for, stores what it decides."""

    def __init__(self, start: int = 0, era: int = 1, log_end: int = 1 << 40, stored: list[Event] | None = None) -> None:
        self.sequencer = Sequencer(lambda _: era, start)
        self.events = list(stored or [])
        self.keys = {Key(*key(event)): event.key_row() for event in self.events}
        self.sequencer.load(NAME, self.slice(), log_end)

    def slice(self) -> Slice:
        if not self.events:
            return NOTHING
        rows: list[Row] = [event.place() for event in reversed(self.events)]
        return Slice(self.events[-1].head(), tuple(rows))

    def judge(self, *batch: tuple[LoggedEntry, Record]) -> list[Verdict]:
        """The verdicts on a batch, which is then stored."""
        missing = self.sequencer.missing(batch)
        keys: dict[Key, KeyRow] = {name: self.keys[name] for name in missing.keys if name in self.keys}
        targets = {
            (NAME, event.seq): Target(event.seq, event.record.record_id, event.record.sender_id, event.kind)
            for event in self.events
            if (NAME, event.seq) in missing.targets
        }
        facts = Facts(keys, targets)
        verdicts = [self.sequencer.decide(at, record, facts) for at, record in batch]
        for verdict in verdicts:
            if verdict.event is not None and verdict.event.seq > len(self.events):
                self.events.append(verdict.event)
                self.keys[Key(*key(verdict.event))] = verdict.event.key_row()
        self.sequencer.settled()
        return verdicts

    def one(self, at: LoggedEntry, record: Record) -> Verdict:
        """The verdict on a record that comes alone."""
        return self.judge((at, record))[0]


def key(event: Event) -> tuple[str, str, str]:
    """What makes an event one."""
    return (event.record.conversation_id, event.record.sender_id, event.record.client_message_id)
