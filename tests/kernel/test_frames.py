"""Bytes that are joined are the message that protobuf would have made."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from stonechat.messaging.v1 import event_pb2, messaging_service_pb2
from svc.kernel.frames import conversation_event, field, frame_of, frame_of_event, shown_key, timestamp
from svc.kernel.ids import MAX_SNOWFLAKE, message_id
from svc.kernel.record import Kind

NUMBERS = st.integers(1, MAX_SNOWFLAKE)
TIMES = st.integers(0, 4_000_000_000_000_000)
BODIES: dict[str, st.SearchStrategy[Any]] = {
    "message": st.builds(bodies.Message, type=st.just("text"), content=st.text(max_size=300)),
    "edit": st.builds(bodies.Edit, message_id=st.text(), content=st.text()),
    "withdrawal": st.builds(bodies.Withdrawal, message_id=st.text()),
    "reaction": st.builds(bodies.Reaction, message_id=st.text(), emoji=st.text(), removed=st.booleans()),
    "unprocessable": st.just(bodies.Unprocessable()),
    "joined": st.builds(bodies.ConversationJoined, conversation_id=st.text(), version=NUMBERS, seq=NUMBERS),
    "device_signed_out": st.builds(bodies.DeviceSignedOut, device_id=st.text()),
}


@st.composite
def events(draw: st.DrawFn) -> tuple[bytes, bodies.ConversationEvent]:
    """An event as the inside encodes it, and as protobuf has it."""
    kind = draw(st.sampled_from(sorted(BODIES)))
    body, key = draw(BODIES[kind]), draw(st.text(max_size=64))
    conversation_id, sender_id = draw(st.text(max_size=64)), draw(st.text(max_size=20))
    seq, record_id, ordinal, time_us = draw(NUMBERS), draw(NUMBERS), draw(NUMBERS), draw(TIMES)
    encoded = conversation_event(
        conversation_id,
        seq,
        time_us,
        sender_id,
        record_id,
        key,
        ordinal,
        Kind[kind.upper()],
        body.SerializeToString(),
    )
    wanted = bodies.ConversationEvent(
        conversation_id=conversation_id,
        seq=seq,
        sender_id=sender_id,
        message_id=message_id(record_id, seq),
        client_message_id="" if key.startswith("~") else key,
        ordinal=ordinal,
        **{kind: body},
    )
    wanted.timestamp.FromMicroseconds(time_us)
    return encoded, wanted


@given(events())
def test_an_event_is_what_protobuf_would_produce(event: tuple[bytes, bodies.ConversationEvent]):
    """Byte for byte, whatever its kind."""
    encoded, wanted = event
    assert encoded == wanted.SerializeToString()


@given(st.lists(st.one_of(events(), st.integers(0, 1000)), max_size=6))
def test_joined_frames_are_one_frame_with_all_events(parts: list[Any]):
    """In their order, of whatever sort; on every stream that carries events."""
    frames, wanted = [], messaging_service_pb2.ConnectResponse()
    for part in parts:
        if isinstance(part, int):
            event = event_pb2.Event(behind=event_pb2.Behind(conversation_id="g1", last_seq=part))
            frames.append(frame_of(event))
            wanted.events.append(event)
        else:
            frames.append(frame_of_event(part[0]))
            wanted.events.add(conversation_event=part[1])
    joined = b"".join(frames)
    assert messaging_service_pb2.ConnectResponse.FromString(joined) == wanted
    assert list(messaging_service_pb2.SubscribeResponse.FromString(joined).events) == list(wanted.events)
    assert list(messaging_service_pb2.PollResponse.FromString(joined).events) == list(wanted.events)


def test_the_number_of_a_kind_is_the_field_of_its_body():
    """So that nobody has to look into a body to know where it belongs."""
    fields = bodies.ConversationEvent.DESCRIPTOR.oneofs_by_name["body"].fields
    assert {field.number: field.name.upper() for field in fields} == {int(kind): kind.name for kind in Kind}


@given(st.integers(1, 2**29 - 1), st.binary(max_size=300))
def test_a_field_is_read_back_by_its_number(number: int, value: bytes):
    """Tag, length, value, as the encoding of protobuf says."""
    encoded = field(number, value)
    tag, rest = _varint(encoded)
    length, rest = _varint(rest)
    assert (tag >> 3, tag & 7, length, rest) == (number, 2, len(value), value)


def _varint(raw: bytes) -> tuple[int, bytes]:
    number = 0
    for at, byte in enumerate(raw):
        number |= (byte & 0x7F) << 7 * at
        if byte < 0x80:
            return number, raw[at + 1 :]
    raise AssertionError("no end")


@given(TIMES)
def test_a_time_keeps_its_microseconds(time_us: int):
    """Both ways."""
    assert timestamp(time_us).ToMicroseconds() == time_us


def test_keys_of_the_server_are_not_shown():
    """A client's own is."""
    assert (shown_key("~123"), shown_key("a-1"), shown_key("")) == ("", "a-1", "")
