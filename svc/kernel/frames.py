"""How events become bytes, once.

A frame is an encoded `ConnectResponse` (= `SubscribeResponse` …): `repeated Event events = 1`. Protobuf concatenates, so frames
that wait for one session are joined and written as one. Bodies are opaque: they are put under the field that their kind names.
https://protobuf.dev/programming-guides/encoding/
"""

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from stonechat.messaging.v1 import conversation_event_pb2, event_pb2
from svc.kernel.ids import message_id

_LENGTH_DELIMITED = 2
_EVENTS = 1


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(value)) + value


def timestamp(time_us: int) -> Timestamp:
    """µs since 1970 as a Timestamp."""
    return Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1000)


def shown_key(client_message_id: str) -> str:
    """The idempotency key as clients see it: those that the server made (`~…`) are not shown."""
    return "" if client_message_id.startswith("~") else client_message_id


def conversation_event(
    conversation_id: str,
    seq: int,
    time_us: int,
    sender_id: str,
    record_id: int,
    client_message_id: str,
    ordinal: int,
    kind: int,
    body: bytes,
) -> bytes:
    """An encoded `ConversationEvent`."""
    head = conversation_event_pb2.ConversationEvent(
        conversation_id=conversation_id,
        seq=seq,
        timestamp=timestamp(time_us),
        sender_id=sender_id,
        message_id=message_id(record_id, seq),
        client_message_id=shown_key(client_message_id),
        ordinal=ordinal,
    )
    return head.SerializeToString() + field(kind, body)


def frame_of_event(encoded: bytes) -> bytes:
    """A frame with one encoded `ConversationEvent`."""
    return field(_EVENTS, field(event_pb2.Event.CONVERSATION_EVENT_FIELD_NUMBER, encoded))


def frame_of(event: Message) -> bytes:
    """A frame with one `Event`."""
    return field(_EVENTS, event.SerializeToString())
