"""Events as the owner hands them to a store, numbered like in life."""

from collections import defaultdict
from dataclasses import dataclass, field

from stonechat.groups.v1.membership_pb2 import MembershipChange
from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from svc.delivery.model import Event, Position
from svc.kernel.ids import message_id
from svc.kernel.record import Kind, Record

ALICE, BOB, CAROL = "u11", "u12", "u13"
DIRECT = "d.u11.u12"
GROUP = "g77"
START_US = 1_750_000_000_000_000


@dataclass
class Story:
    """Makes the next event of a conversation. Positions, seqs, ordinals and times grow as the owner's do."""

    offset: int = -1
    seqs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ordinals: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    versions: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def message(self, text: str, conversation_id: str = DIRECT, sender_id: str = ALICE, key: str = "") -> Event:
        body = bodies.Message(type="text", content=text).SerializeToString()
        return self._event(Kind.MESSAGE, body, conversation_id, sender_id, key)

    def edit(self, target: Event, text: str) -> Event:
        body = bodies.Edit(message_id=name(target), content=text, type="text").SerializeToString()
        return self._event(Kind.EDIT, body, target.conversation_id, target.record.sender_id, target=target)

    def withdrawal(self, target: Event) -> Event:
        body = bodies.Withdrawal(message_id=name(target)).SerializeToString()
        return self._event(Kind.WITHDRAWAL, body, target.conversation_id, target.record.sender_id, target=target)

    def reaction(self, target: Event, emoji: str = "+1", sender_id: str = BOB) -> Event:
        body = bodies.Reaction(message_id=name(target), emoji=emoji).SerializeToString()
        return self._event(Kind.REACTION, body, target.conversation_id, sender_id, target=target)

    def membership(self, *joined: str, left: tuple[str, ...] = (), conversation_id: str = GROUP) -> Event:
        self.versions[conversation_id] += 1
        version = self.versions[conversation_id]
        body = MembershipChange(version=version).SerializeToString()
        return self._event(
            Kind.MEMBERSHIP, body, conversation_id, "system", f"v{version}", version=version, joined=joined, left=left
        )

    def unprocessable(self, conversation_id: str = DIRECT, key: str = "") -> Event:
        return self._event(Kind.UNPROCESSABLE, b"", conversation_id, ALICE, key)

    def _event(
        self,
        kind: Kind,
        body: bytes,
        conversation_id: str,
        sender_id: str,
        key: str = "",
        target: Event | None = None,
        version: int = 0,
        joined: tuple[str, ...] = (),
        left: tuple[str, ...] = (),
    ) -> Event:
        self.offset += 1
        self.seqs[conversation_id] += 1
        self.ordinals[conversation_id] += kind is Kind.MESSAGE
        record_id = 500_000 + self.offset
        record = Record(
            Kind.MESSAGE if kind is Kind.UNPROCESSABLE else kind,
            conversation_id,
            sender_id,
            key or f"~{record_id}",
            record_id,
            body,
            target.seq if target else 0,
            target.record.record_id if target else 0,
            version=version,
            joined=joined,
            left=left,
        )
        return Event(
            record,
            kind,
            Position(1, self.offset),
            self.seqs[conversation_id],
            START_US + self.offset,
            self.ordinals[conversation_id],
            self.versions[conversation_id],
        )


def name(event: Event) -> str:
    """The message id of an event."""
    return message_id(event.record.record_id, event.seq)
