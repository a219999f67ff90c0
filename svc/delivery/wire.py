"""Events ↔ bytes: what sessions are pushed, what inboxes are told, what is parked, how relay items travel."""

from collections.abc import Sequence

from stonechat.delivery.v1 import delivery_service_pb2 as api
from stonechat.delivery.v1 import record_pb2
from stonechat.messaging.v1 import conversation_event_pb2 as events
from svc.delivery.dead_letters import Parked
from svc.delivery.model import Event, Verdict
from svc.kernel import relay
from svc.kernel.clock import Clock
from svc.kernel.eventlog import LoggedEntry
from svc.kernel.frames import conversation_event, frame_of_event
from svc.kernel.ids import SnowflakeGenerator, direct_members, inbox_of
from svc.kernel.record import Kind, Record, from_system
from svc.kernel.relay import CLAIM_BITS

_CLAIM = (1 << CLAIM_BITS) - 1


class ProtoEncoder:
    """`svc.delivery.ports.Encoder` in the words of the contract."""

    def __init__(self, clock: Clock, ids: SnowflakeGenerator) -> None:
        self._clock = clock
        self._ids = ids

    def frame(self, event: Event, withdrawn: bool) -> bytes:
        record, body = event.record, event.record.body
        if withdrawn and event.kind is Kind.EDIT:
            edit = events.Edit.FromString(body)
            body = events.Edit(message_id=edit.message_id).SerializeToString()
        return frame_of_event(
            conversation_event(
                event.conversation_id,
                event.seq,
                event.time_us,
                record.sender_id,
                record.record_id,
                record.client_message_id,
                event.ordinal,
                event.kind,
                body,
            )
        )

    def notices(self, event: Event) -> Sequence[Record]:
        name, seq, version = event.conversation_id, event.seq, event.record.version
        told: list[
            tuple[Kind, str, str, events.ConversationOpened | events.ConversationJoined | events.ConversationLeft]
        ]
        told = []
        if seq == 1 and (users := direct_members(name)) is not None:
            body = events.ConversationOpened(conversation_id=name)
            told += [(Kind.OPENED, user, f"~opened.{name}", body) for user in users]
        if event.kind is Kind.MEMBERSHIP:
            joined = events.ConversationJoined(conversation_id=name, version=version, seq=seq)
            left = events.ConversationLeft(conversation_id=name, version=version, seq=seq)
            told += [(Kind.JOINED, user, f"~joined.{name}.{version}", joined) for user in event.record.joined]
            told += [(Kind.LEFT, user, f"~left.{name}.{version}", left) for user in event.record.left]
        return [
            self._notice(kind, inbox_of(user), key, body.SerializeToString(), name, version)
            for kind, user, key, body in told
        ]

    def _notice(self, kind: Kind, inbox: str, key: str, body: bytes, about: str, version: int) -> Record:
        bare = from_system(kind, inbox, key, self._ids.next(), body)
        joined, left = ((), (about,)) if kind is Kind.LEFT else ((about,), ())
        return Record(
            bare.kind,
            bare.conversation_id,
            bare.sender_id,
            bare.client_message_id,
            bare.record_id,
            bare.body,
            version=version,
            joined=joined,
            left=left,
        )

    def dead_letter(self, entry: LoggedEntry, verdict: Verdict | None, error: str) -> bytes:
        return record_pb2.DeadLetter(
            record=entry.value,
            error=error,
            partition=entry.partition,
            offset=entry.offset,
            conversation_id=verdict.record.conversation_id if verdict else "",
            seq=verdict.seq if verdict else 0,
            time_us=self._clock.now_us(),
        ).SerializeToString()


def edited_body(edit: bytes) -> bytes:
    """The body that an edit gives to the message it names: an encoded `Message`."""
    change = events.Edit.FromString(edit)
    return events.Message(type=change.type, content=change.content).SerializeToString()


def to_item(item: relay.Item) -> api.RelayItem:
    """A relay item as it travels."""
    match item:
        case relay.Event():
            event = api.RelayEvent(
                seq=item.seq,
                claim=item.claim & _CLAIM,
                era=item.claim >> CLAIM_BITS,
                frame=item.frame,
                kind=item.kind,  # type: ignore[arg-type]
                subjects=item.subjects,
                version=item.version,
                traceparent=item.traceparent,
            )
            return api.RelayItem(conversation_id=item.conversation_id, event=event)
        case relay.Ack():
            ack = api.RelayAck(head=item.head, claim=item.claim & _CLAIM, era=item.claim >> CLAIM_BITS)
            return api.RelayItem(conversation_id=item.conversation_id, ack=ack)
        case relay.Moved():
            return api.RelayItem(conversation_id=item.conversation_id, moved=item.head)
        case relay.Answer():
            answer = api.RelayAnswer(
                request_id=item.request_id,
                outcome=item.outcome.value,  # type: ignore[arg-type]
                seq=item.seq,
                record_id=item.record_id,
                time_us=item.time_us,
            )
            return api.RelayItem(answer=answer)
        case relay.NotOwner():
            return api.RelayItem(conversation_id=item.conversation_id, not_owner=True)
        case relay.Signal():
            return api.RelayItem(conversation_id=item.conversation_id, signal=item.frame, key=item.key)
        case relay.Tick():
            return api.RelayItem(tick=True)


def from_unanswered(item: api.UnansweredRequest) -> relay.Unanswered:
    """A request whose answer may have been lost."""
    return relay.Unanswered(
        item.request_id, item.conversation_id, item.sender_id, item.client_message_id, item.record_id
    )


def to_signal(item: api.Signal) -> relay.Signal:
    """An ephemeral event."""
    return relay.Signal(item.conversation_id, item.key, item.frame)


def from_parked(parked: Parked) -> api.ParkedRecord:
    """A dead letter with its id."""
    dead_letter = record_pb2.DeadLetter.FromString(parked.value)
    return api.ParkedRecord(dead_letter_id=parked.dead_letter_id, dead_letter=dead_letter)


def parked_record(parked: Parked) -> bytes:
    """The record that was parked, as it was read."""
    return record_pb2.DeadLetter.FromString(parked.value).record
