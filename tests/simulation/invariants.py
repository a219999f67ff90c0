"""What must hold in every schedule, checked at the moment at which it could break."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from stonechat.messaging.v1 import messaging_service_pb2
from svc.backends.messages_schema import WITHDRAWN
from svc.delivery.model import Event, Key
from svc.delivery.wire import ProtoEncoder
from svc.kernel import relay
from svc.kernel.clock import Clock
from svc.kernel.eventlog import ACCEPTED, DEAD_LETTERS, EVENTS, LoggedEntry
from svc.kernel.ids import SnowflakeGenerator, message_id
from svc.kernel.record import Kind
from svc.kernel.relay import Outcome
from tests.simulation.model_log import era_of
from tests.simulation.reference import Expected
from tests.simulation.replicas import Cells, Replica, bucket_events, change_of, fixed_of, list_rows

if TYPE_CHECKING:
    from tests.simulation.network import Wire
    from tests.simulation.nodes import NodeProcess
    from tests.simulation.world import World

LATE_US = 30_000_000
"""A node that stood still while it appended knows no better; who was right before a jump that is smaller, may go on."""
_IDS = SnowflakeGenerator(cast(Clock, None), 0)


class _Told:
    """What one stream told of one conversation: nothing yet but up to `before`, then everything after `at`."""

    __slots__ = ("at", "before")

    def __init__(self) -> None:
        self.at: int | None = None
        self.before = 0


class Checker:
    """Compares every step with the reference."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._encoder = ProtoEncoder(cast(Clock, None), _IDS)
        self._frames: dict[tuple[str, int], tuple[bytes, ...]] = {}
        self._stored: set[tuple[str, int]] = set()
        self._announced: dict[str, int] = {}
        self._accepted: set[Key] = set()
        self._parked: set[tuple[int, int]] = set()
        self._verified: dict[int, int] = {}
        self._told: dict[Wire, dict[str, _Told]] = {}
        self._asked: dict[tuple[str, int], int] = {}
        self._answers: dict[Key, tuple[int, int, int]] = {}
        self.unnoticed: set[int] = set()  # partitions whose log was cut: commits say nothing until that is noticed
        self.acknowledged_events = 0

    def fail(self, invariant: str, text: str) -> None:
        self._world.fail(invariant, text)

    # What a message's place in the world must be

    def frames(self, event: Event) -> tuple[bytes, ...]:
        """How an event may look when it is pushed. An edit of what is withdrawn shows nothing: it must not when the withdrawal
        stands before it, and need not when it comes after."""
        name = (event.conversation_id, event.seq)
        if name not in self._frames:
            made = [self._encoder.frame(event, False), self._encoder.frame(event, event.kind is Kind.EDIT)]
            self._frames[name] = tuple(made[1:] if self._withdrawn_before(event) else made)
        return self._frames[name]

    def _withdrawn_before(self, event: Event) -> bool:
        before = self._world.reference.events(event.conversation_id)[: event.seq - 1]
        return event.kind is Kind.EDIT and any(
            it.kind is Kind.WITHDRAWAL and it.record.target_seq == event.record.target_seq for it in before
        )

    def visible(self, conversation_id: str, seq: int) -> bool:
        """Whether every quorum read returns the event."""
        bucket = seq // bucket_events()

        def holds(replica: Replica) -> bool:
            cells = replica.events[conversation_id][bucket].get(seq)
            return cells is not None and cells.fixed is not None

        return self._world.store.every_quorum(holds)

    def lacks(self, event: Event) -> str:
        """What is not stored of an event and all that belongs to it; empty when nothing is missing."""
        if (event.conversation_id, event.seq) in self._stored:
            return ""
        every, name = self._world.store.every_quorum, event.conversation_id
        fixed, bucket = fixed_of(event), event.seq // bucket_events()

        def row(replica: Replica) -> bool:
            cells = replica.events[name][bucket].get(event.seq)
            return cells is not None and cells.fixed == fixed and cells.body_version >= event.seq

        if not every(row):
            return "its row"
        if event.kind is not Kind.UNPROCESSABLE:
            key = Key(name, event.record.sender_id, event.record.client_message_id)
            if not every(lambda replica: key in replica.keys and replica.keys[key][1].seq >= event.seq):
                return "its key row"
        if (change := change_of(event)) is not None:
            target = event.record.target_seq

            def changed(replica: Replica) -> bool:
                cells = replica.events[name][target // bucket_events()].get(target)
                return cells is not None and cells.body_version >= change[1]

            if not every(changed):
                return "the row it changes"
        for listed in list_rows(event):
            place = (listed.user_id, name)
            if not every(lambda r, at=place, v=listed.version: at in r.lists and r.lists[at][0] >= v):
                return f"the list of {listed.user_id}"
        self._stored.add((name, event.seq))
        return ""

    # The log

    def appended(self, topic: str, entry: LoggedEntry) -> None:
        """The log stored an entry."""
        if topic == ACCEPTED:
            self._world.reference.appended(entry)
            record = self._world.reference.verdicts[entry.partition][-1].record
            self._accepted.add(Key(record.conversation_id, record.sender_id, record.client_message_id))
        elif topic == EVENTS:
            self._announce(entry)
        elif topic == DEAD_LETTERS:
            letter = self._world.letter(entry.value)
            self._parked.add((letter.partition, letter.offset))

    def _announce(self, entry: LoggedEntry) -> None:
        for item in messaging_service_pb2.ConnectResponse.FromString(entry.value).events:
            found = item.conversation_event
            name, seq = found.conversation_id, found.seq
            event = self._world.reference.event(name, seq)
            if event is None or found.message_id != message_id(event.record.record_id, seq):
                self.fail("announced as ordered", f"{name}:{seq} {found.message_id}")
                return
            if missing := self.lacks(event):
                self.fail("announced after it is stored", f"{name}:{seq} without {missing}")
            if seq > self._announced.get(name, 0) + 1:
                self.fail("announced without holes", f"{name}:{seq} after {self._announced.get(name, 0)}")
            self._announced[name] = max(seq, self._announced.get(name, 0))

    def committed(self, group: str, offsets: dict[int, int]) -> None:
        """Offsets are committed: every record below is through all steps (T3)."""
        era = era_of(group)
        for partition, offset in offsets.items():
            if era not in (0, self._world.reference.eras[partition]) or partition in self.unnoticed:
                continue
            verdicts = self._world.reference.verdicts[partition]
            for at in range(self._verified.get(partition, 0), min(offset, len(verdicts))):
                if missing := self._unfinished(verdicts[at]):
                    self.fail("committed after all steps", f"{partition}/{at} without {missing}")
                    return
                self._verified[partition] = at + 1

    def _unfinished(self, expected: Expected) -> str:
        event = expected.event
        if event is None:
            return ""
        if missing := self.lacks(event):
            return missing
        if self._announced.get(event.conversation_id, 0) < event.seq:
            return "its announcement"
        for notice in self._encoder_notices(event):
            if notice not in self._accepted:
                return f"telling {notice.conversation_id}"
        if event.kind is Kind.UNPROCESSABLE and (expected.entry.partition, expected.entry.offset) not in self._parked:
            return "its dead letter"
        return ""

    def _encoder_notices(self, event: Event) -> list[Key]:
        told = [(f"~opened.{event.conversation_id}", listed.user_id) for listed in list_rows(event) if event.seq == 1]
        if event.kind is Kind.MEMBERSHIP:
            about = f"{event.conversation_id}.{event.record.version}"
            told = [(f"~joined.{about}", user) for user in event.record.joined]
            told += [(f"~left.{about}", user) for user in event.record.left]
        return [Key(f"inbox.{user}", "system", key) for key, user in told]

    def era_started(self, partition: int, era: int) -> None:
        """After an incident of the log its positions count anew."""
        self.unnoticed.discard(partition)
        self._world.restart_reference(partition, era)

    def restarted(self, partition: int, stored: dict[str, list[Event]]) -> None:
        """What is stored stands, even where its record is lost; such a record is not announced any more."""
        self._verified[partition] = 0
        for name, events in stored.items():
            self._announced[name] = max(len(events), self._announced.get(name, 0))

    # The store

    def writing(self, process: str, events: Sequence[Event]) -> None:
        """A write begins: it must be what the log says, and nothing may be missing below it."""
        newest: dict[str, int] = {}
        for event in events:
            name, seq = event.conversation_id, event.seq
            right = self._world.reference.event(name, seq)
            if right is None or fixed_of(event) != fixed_of(right) or event.record.body != right.record.body:
                self.fail("the log decides", f"{process} writes {name}:{seq} as {_short(event)}, not {_short(right)}")
            before = newest.get(name)
            if before is not None and seq != before + 1:
                self.fail("one contiguous run", f"{process} writes {name}:{seq} after {before}")
            if before is None and seq > 1 and not self.visible(name, seq - 1):
                self.fail("no hole below a stored event", f"{process} writes {name}:{seq} before {seq - 1} is stored")
            newest[name] = seq

    # The relay

    def opened(self, wire: "Wire") -> None:
        self._told[wire] = {}

    def unsubscribed(self, wire: "Wire", conversation_ids: Sequence[str]) -> None:
        for name in conversation_ids:
            self._told[wire].pop(name, None)

    def asked(self, node: str, request_id: int, record_id: int) -> None:
        """A node sends a record."""
        self._asked[(node, request_id)] = record_id

    def left_owner(self, wire: "Wire", item: relay.Item) -> None:
        """An item goes down a stream."""
        match item:
            case relay.Event():
                self._event_relayed(wire, item)
            case relay.Ack():
                told = self._told[wire].setdefault(item.conversation_id, _Told())
                self._head_told(item.conversation_id, item.head)
                if max(told.before, told.at or 0) > item.head:
                    self.fail(
                        "an Ack is exact", f"Ack({item.conversation_id}, {item.head}) after {told.before}, {told.at}"
                    )
                told.at = item.head
            case relay.Moved():
                told = self._told[wire].setdefault(item.conversation_id, _Told())
                self._head_told(item.conversation_id, item.head)
                if told.at is not None:
                    told.at = max(told.at, item.head)
            case relay.Answer():
                self._answer_sent(wire, item)
            case _:
                pass

    def _head_told(self, name: str, head: int) -> None:
        if head and not self.visible(name, head):
            self.fail("you never see what you cannot fetch", f"head {name}:{head} is told, and not every read finds it")

    def _event_relayed(self, wire: "Wire", item: relay.Event) -> None:
        name, seq = item.conversation_id, item.seq
        event = self._world.reference.event(name, seq)
        if event is None or item.frame not in self.frames(event):
            self.fail("pushed as stored", f"{name}:{seq} is relayed with other content")
            return
        if missing := self.lacks(event):
            self.fail("you never see what you cannot fetch", f"{name}:{seq} is relayed without {missing}")
        told = self._told[wire].setdefault(name, _Told())
        if told.at is None:
            told.before = max(told.before, seq)
        elif seq > told.at + 1:
            self.fail("an Ack is exact", f"{wire.owner.name} relays {name}:{seq} after {told.at} to {wire.node.name}")
        else:
            told.at = max(told.at, seq)

    def _answer_sent(self, wire: "Wire", answer: relay.Answer) -> None:
        record_id = self._asked.get((wire.node.boot_id, answer.request_id))
        right = self._world.reference.by_record.get(record_id or 0, [])
        found = (answer.outcome, answer.seq, answer.record_id, answer.time_us)
        if found not in [(it.outcome, it.seq, it.record_id, it.time_us) for it in right]:
            self.fail(
                "the right answer", f"request {answer.request_id}, record {record_id}: {found}, not {_answers(right)}"
            )
            return
        if answer.outcome in (Outcome.STORED, Outcome.REPEAT, Outcome.UNPROCESSABLE):
            event = self._world.reference.event(right[0].record.conversation_id, answer.seq)
            if event is None or (missing := self.lacks(event)):
                self.fail("acknowledged means stored", f"{answer} without {missing if event else 'event'}")

    # The clients

    def acknowledged(self, key: Key, answer: relay.Answer) -> None:
        """A client got its answer."""
        found = (answer.seq, answer.record_id, answer.time_us)
        self.acknowledged_events += 1
        if self._answers.setdefault(key, found) != found and not self._world.repeats_grow_old:
            self.fail("a repeat gets the first answer", f"{key}: {found} after {self._answers[key]}")

    def reckoned(self, node: "NodeProcess") -> None:
        """A node is about to say how long a record counts (L5), by what it takes for the log's time."""
        late_us, jumped_at = self._world.log_now_us() - node.clock.now_us(), self._world.log.jumped_at
        if node.clock.learned_at <= jumped_at:
            return  # the next append tells
        if not (-LATE_US if jumped_at > 0 else -1) <= late_us <= LATE_US:
            self.fail("nodes reckon by the log's time", f"{node.name} is late by {late_us / 1e6} s")

    # The end

    def finish(self) -> None:
        """Everything is calm and has had its time: what is stored is what the log says, and all of it."""
        reference, store = self._world.reference, self._world.store
        names = set(reference.conversations)
        for replica in store.replicas:
            names.update(replica.events)
        for name in sorted(names):
            rows: dict[int, Cells] = {}
            for bucket in store.buckets(name):
                rows.update(store.scan(name, bucket))
            self._check_rows(name, rows)
        for verdicts in reference.verdicts:
            for expected in verdicts:
                if missing := self._unfinished(expected):
                    self.fail("all records are taken through all steps", f"{_short(expected.event)} without {missing}")

    def _check_rows(self, name: str, rows: dict[int, Cells]) -> None:
        events = self._world.reference.events(name)
        if sorted(rows) != list(range(1, len(events) + 1)):
            self.fail("seq 1..n without holes", f"{name} has {sorted(rows)}, the log gives 1..{len(events)}")
            return
        bodies: dict[int, tuple[int, bytes]] = {}
        for event in events:
            bodies[event.seq] = (event.seq, event.record.body)
            if (change := change_of(event)) is not None:
                target = event.record.target_seq
                bodies[target] = max(bodies[target], (change[1], change[0]))
        time_us = ordinal = version = 0
        keys: set[Key] = set()
        for event in events:
            cells = rows[event.seq]
            fixed = cells.fixed
            assert fixed is not None
            where = f"{name}:{event.seq}"
            if fixed != fixed_of(event):
                self.fail("the log decides", f"{where} is {fixed}, not {fixed_of(event)}")
            if (cells.body_version, cells.body) != bodies[event.seq]:
                what = "withdrawn content is gone" if bodies[event.seq][0] > WITHDRAWN else "the last change is shown"
                self.fail(what, f"{where} has {cells.body!r} of {cells.body_version}, not {bodies[event.seq]}")
            ordinal += fixed.kind is Kind.MESSAGE
            if fixed.time_us <= time_us or fixed.ordinal != ordinal or fixed.version < version:
                self.fail("times, ordinals and versions grow", f"{where}: {fixed}")
            time_us, version = fixed.time_us, fixed.version
            key = Key(name, fixed.sender_id, fixed.client_message_id)
            if fixed.kind is not Kind.UNPROCESSABLE and key in keys and not self._world.repeats_grow_old:
                self.fail("one event for a key", f"{where}: {key}")
            keys.add(key)


def _short(event: Event | None) -> str:
    if event is None:
        return "nothing"
    return f"{event.conversation_id}:{event.seq} {event.kind.name} record {event.record.record_id} at {event.position}"


def _answers(right: Sequence[Expected]) -> str:
    return (
        " or ".join(f"{it.outcome.name} {it.seq} {it.record_id} {it.time_us}" for it in right) or "none: not in the log"
    )
