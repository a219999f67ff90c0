"""Frames and requests of MessagingService ↔ model."""

from collections.abc import Sequence

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from stonechat.delivery.v1 import delivery_service_pb2 as delivery
from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from stonechat.messaging.v1 import event_pb2 as events
from stonechat.messaging.v1 import messaging_service_pb2 as api
from svc.kernel import relay
from svc.kernel.errors import InvalidField, MalformedRequest, StonechatError
from svc.kernel.frames import frame_of, timestamp
from svc.kernel.ids import inbox_user, is_conversation_id, message_id
from svc.kernel.record import Kind
from svc.kernel.status import to_status
from svc.kernel.validation import check
from svc.messaging.model import Draft, Frame, Head, Hello, ReadMark, Renewal, Typing

Change = api.SendMessageRequest | api.EditMessageRequest | api.WithdrawMessageRequest | api.ReactRequest
SENT = "sent"
_OUTCOMES = frozenset(map(int, relay.Outcome))


def to_draft(request: Change) -> Draft:
    """What a request asks to be numbered. Raises InvalidField for what the contract's rules cannot say."""
    if isinstance(request, api.SendMessageRequest):
        body: ProtoMessage = bodies.Message(type=request.type, content=request.content)
        return _draft(Kind.MESSAGE, request.to, body, request.client_message_id, "")
    _check_conversation(request.conversation_id)
    target = request.message_id
    if isinstance(request, api.EditMessageRequest):
        kind, body = Kind.EDIT, bodies.Edit(message_id=target, content=request.content, type="text")
    elif isinstance(request, api.WithdrawMessageRequest):
        kind, body = Kind.WITHDRAWAL, bodies.Withdrawal(message_id=target)
    else:
        kind = Kind.REACTION
        body = bodies.Reaction(message_id=target, emoji=request.emoji, removed=request.removed)
    return _draft(kind, request.conversation_id, body, request.client_message_id, target)


def _draft(kind: Kind, to: str, body: ProtoMessage, client_message_id: str, target: str) -> Draft:
    return Draft(kind, to, body.SerializeToString(), client_message_id, target)


def to_mark(user_id: str, request: api.MarkReadRequest) -> ReadMark:
    """The mark that a request raises. Raises InvalidField."""
    _check_conversation(request.conversation_id)
    return ReadMark(user_id, request.conversation_id, min(request.seq, (1 << 63) - 1))


def to_typing(request: api.SendTypingRequest) -> str:
    """The conversation somebody writes in. Raises InvalidField."""
    _check_conversation(request.conversation_id)
    return request.conversation_id


def _check_conversation(conversation_id: str) -> None:
    if not is_conversation_id(conversation_id) or inbox_user(conversation_id) is not None:
        raise InvalidField("conversation_id", "must be a direct conversation `d.…` or a group `g…`")


def to_known(hello: api.Hello | api.SubscribeRequest) -> dict[str, int]:
    """What a client says it knows. Raises InvalidField naming the entry."""
    known: dict[str, int] = {}
    for index, item in enumerate(hello.known):
        if not is_conversation_id(item.conversation_id):
            raise InvalidField(f"known[{index}].conversation_id", "must be a conversation id")
        known[item.conversation_id] = item.last_seq
    return known


def to_frame(user_id: str, raw: bytes) -> Frame:
    """One frame of a client's stream. Raises MalformedRequest when it is none; any other fault is the frame's body."""
    try:
        request = api.ConnectRequest.FromString(raw)
    except DecodeError:
        raise MalformedRequest("a frame is no stonechat.messaging.v1.ConnectRequest") from None
    try:
        return Frame(request.request_id, _body(user_id, request))
    except StonechatError as error:
        return Frame(request.request_id, error)


def _body(user_id: str, request: api.ConnectRequest) -> Hello | Draft | ReadMark | Typing | Renewal:
    name = request.WhichOneof("frame")
    if name is None:
        raise InvalidField("frame", "must be one that this server knows")
    check(getattr(request, name))  # the fields are named as in a unary call
    match name:
        case "hello":
            return Hello(to_known(request.hello))
        case "mark_read":
            return to_mark(user_id, request.mark_read)
        case "typing":
            return Typing(to_typing(request.typing))
        case "renew_token":
            _check_answered(request)
            return Renewal(request.renew_token.access_token)
        case _:
            change: Change = getattr(request, name)
            if not change.client_message_id:
                raise InvalidField("client_message_id", "must be chosen by the client")
            _check_answered(request)
            return to_draft(change)


def _check_answered(request: api.ConnectRequest) -> None:
    if request.request_id == 0:
        raise InvalidField("request_id", "must not be 0 for what is answered")


def sent_fields(conversation_id: str, answer: relay.Answer) -> dict[str, str | int]:
    """The fields that every answer to a send has."""
    return {
        "message_id": message_id(answer.record_id, answer.seq),
        "status": SENT,
        "conversation_id": conversation_id,
        "seq": answer.seq,
    }


def joined_head(message_type: type[ProtoMessage], frame: bytes, **fields: str | bool) -> bytes:
    """An answer that begins with events that are encoded already: frames and other fields concatenate."""
    return frame + message_type(**fields).SerializeToString()


def to_server_sent(frame: bytes, cursor: str, reset: bool) -> HttpBody:
    """Events as one server-sent event: the cursor is its id, so that browsers resume by themselves."""
    response = api.StreamEventsResponse.FromString(
        joined_head(api.StreamEventsResponse, frame, cursor=cursor, reset=reset)
    )
    data = MessageToJson(response, indent=None, always_print_fields_with_no_presence=True)
    return HttpBody(content_type="text/event-stream", data=f"id: {cursor}\ndata: {data}\n\n".encode())


def to_server_sent_end(error: StonechatError) -> HttpBody:
    """The last server-sent event of a stream, named `end`: its data is the `google.rpc.Status` of why it ends."""
    data = MessageToJson(to_status(error), indent=None)
    return HttpBody(content_type="text/event-stream", data=f"event: end\ndata: {data}\n\n".encode())


class ProtoEncoder:
    """`svc.messaging.ports.Encoder` in the words of the contract."""

    def behind(self, conversation_id: str, head: int) -> bytes:
        return frame_of(events.Event(behind=events.Behind(conversation_id=conversation_id, last_seq=head)))

    def hello_page(self, heads: Sequence[Head], gone: Sequence[str], complete: bool) -> bytes:
        page = events.HelloPage(conversations=[from_head(head) for head in heads], gone=gone, complete=complete)
        return frame_of(events.Event(hello_page=page))

    def answer(self, request_id: int, conversation_id: str, answer: relay.Answer | StonechatError | None) -> bytes:
        result = events.Result(request_id=request_id)
        if answer is None:
            result.done.SetInParent()
        elif isinstance(answer, StonechatError):
            result.error.CopyFrom(to_status(answer))
        else:
            sent = events.Sent(**sent_fields(conversation_id, answer), timestamp=timestamp(answer.time_us))  # type: ignore[arg-type]
            result.sent.CopyFrom(sent)
        return frame_of(events.Event(result=result))

    def typing(self, conversation_id: str, user_id: str) -> bytes:
        return frame_of(events.Event(typing=events.TypingSignal(conversation_id=conversation_id, user_id=user_id)))

    def read_mark(self, mark: ReadMark) -> bytes:
        moved = events.ReadMark(conversation_id=mark.conversation_id, user_id=mark.user_id, seq=mark.seq)
        return frame_of(events.Event(read_mark=moved))

    def reconnect(self, after_ms: int) -> bytes:
        return frame_of(events.Event(reconnect=events.Reconnect(after_ms=after_ms)))

    def heartbeat(self) -> bytes:
        return frame_of(events.Event(heartbeat=events.Heartbeat()))


def from_head(head: Head) -> events.ConversationHead:
    """A conversation as a session is told of it."""
    return events.ConversationHead(
        conversation_id=head.conversation_id,
        last_seq=head.last_seq,
        unread_count=head.unread_count,
        read_seq=head.read_seq,
        timestamp=timestamp(head.time_us) if head.time_us else None,
    )


def to_item(item: delivery.RelayItem) -> relay.Item:
    """What the owner says. What this program does not know yet is a sign of life all the same."""
    name = item.conversation_id
    match item.WhichOneof("item"):
        case "ack":
            return relay.Ack(name, item.ack.head, relay.claim_of(item.ack.era, item.ack.claim))
        case "event":
            event = item.event
            return relay.Event(
                name,
                event.seq,
                relay.claim_of(event.era, event.claim),
                event.frame,
                event.kind,
                tuple(event.subjects),
                event.version,
                event.traceparent,
            )
        case "moved":
            return relay.Moved(name, item.moved)
        case "answer" if int(item.answer.outcome) in _OUTCOMES:
            told = item.answer
            return relay.Answer(told.request_id, relay.Outcome(told.outcome), told.seq, told.record_id, told.time_us)
        case "not_owner":
            return relay.NotOwner(name)
        case "signal":
            return relay.Signal(name, item.key, item.signal)
        case _:
            return relay.Tick()


def from_unanswered(request: relay.Unanswered) -> delivery.UnansweredRequest:
    """A request whose answer may have been lost."""
    return delivery.UnansweredRequest(
        request_id=request.request_id,
        conversation_id=request.conversation_id,
        sender_id=request.sender_id,
        client_message_id=request.client_message_id,
        record_id=request.record_id,
    )


def from_signal(signal: relay.Signal) -> delivery.Signal:
    """An ephemeral event on its way to the owner."""
    return delivery.Signal(conversation_id=signal.conversation_id, key=signal.key, frame=signal.frame)
