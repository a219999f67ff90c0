"""What is appended to the log is read back as it was."""

from dataclasses import replace

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from stonechat.delivery.v1 import record_pb2
from stonechat.groups.v1.membership_pb2 import MembershipChange
from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from svc.kernel.errors import MalformedRequest
from svc.kernel.ids import MAX_SNOWFLAKE, SYSTEM
from svc.kernel.record import CHANGES, Kind, Record, decode, encode, from_system, own_key, to_entry
from svc.kernel.shards import ShardMap

NUMBERS = st.integers(0, MAX_SNOWFLAKE)
CONVERSATIONS = st.sampled_from(["g1", "d.u1.u2", "inbox.u7"])
ANY_RECORDS = st.builds(
    Record,
    kind=st.sampled_from(Kind),
    conversation_id=CONVERSATIONS,
    sender_id=st.text(max_size=20),
    client_message_id=st.text(max_size=64),
    record_id=NUMBERS,
    body=st.binary(max_size=200),
    target_seq=NUMBERS,
    target_record_id=NUMBERS,
    not_after_us=NUMBERS,
    node=st.text(max_size=16),
    request_id=NUMBERS,
    traceparent=st.text(max_size=55),
    version=NUMBERS,
    joined=st.lists(st.text(max_size=20), max_size=4).map(tuple),
    left=st.lists(st.text(max_size=20), max_size=4).map(tuple),
)


def _with_a_body_of_its_kind(record: Record) -> Record:
    match record.kind:
        case Kind.MESSAGE:
            body: Message = bodies.Message(type="text", content=record.sender_id)
        case Kind.EDIT:
            body = bodies.Edit(message_id=record.node, content=record.sender_id)
        case Kind.WITHDRAWAL:
            body = bodies.Withdrawal(message_id=record.node)
        case Kind.REACTION:
            body = bodies.Reaction(message_id=record.node, emoji=record.sender_id)
        case Kind.MEMBERSHIP:
            body = MembershipChange(version=record.version, left=record.left)
        case _:
            return record
    return replace(record, body=body.SerializeToString())


RECORDS = ANY_RECORDS.map(_with_a_body_of_its_kind)


@given(RECORDS)
def test_a_record_survives_the_log(record: Record):
    """Every field of it."""
    assert decode(encode(record)) == record


@given(RECORDS)
def test_an_entry_stands_where_its_conversation_lives(record: Record):
    """Under its name, in its partition."""
    shards = ShardMap.initial(5)
    entry = to_entry(record, shards)
    assert (entry.partition, entry.key) == (shards.partition_of(record.conversation_id), record.conversation_id)
    assert decode(entry.value) == record


@given(st.binary(max_size=80))
def test_any_bytes_are_a_record_or_malformed(raw: bytes):
    """Never another error: it must not stop a partition."""
    try:
        record = decode(raw)
    except MalformedRequest:
        return
    assert decode(encode(record)) == record


@pytest.mark.parametrize("conversation_id", ["", "u1", "d.u2.u1", "group", "g01"])
def test_a_record_of_no_conversation_is_malformed(conversation_id: str):
    """There is nobody to number it."""
    with pytest.raises(MalformedRequest, match="no conversation"):
        decode(encode(Record(Kind.MESSAGE, conversation_id, "u1", "k", 1, b"")))


@pytest.mark.parametrize("kind", [Kind.MESSAGE, Kind.EDIT, Kind.WITHDRAWAL, Kind.REACTION, Kind.MEMBERSHIP])
def test_a_body_that_is_not_of_its_kind_is_malformed(kind: Kind):
    """Readers of history could not read it, and one that nobody can read must not stand among messages."""
    with pytest.raises(MalformedRequest):
        decode(encode(Record(kind, "g1", "u1", "k", 1, b"\xff\xff\xff")))


def test_an_edit_with_a_body_that_is_none_is_malformed():
    """The owner changes the message that it names, so it must be able to read it."""
    edit = Record(Kind.EDIT, "g1", "u1", "k", 1, b"\xff")
    with pytest.raises(MalformedRequest, match="no record"):
        decode(encode(edit))


@pytest.mark.parametrize("field", ["record_id", "target_seq", "target_record_id", "version"])
def test_a_number_that_no_store_can_hold_is_malformed(field: str):
    """It would stop its partition for ever."""
    raw = record_pb2.Record(kind=16, conversation_id="g1", **{field: MAX_SNOWFLAKE + 1}).SerializeToString()  # type: ignore[arg-type]
    with pytest.raises(MalformedRequest):
        decode(raw)


def test_a_kind_that_this_program_does_not_know_is_malformed():
    """It is parked, not guessed."""
    raw = record_pb2.Record(kind=77, conversation_id="g1").SerializeToString()  # type: ignore[arg-type]
    with pytest.raises(MalformedRequest):
        decode(raw)


def test_the_kinds_are_those_of_the_contract():
    """With the same numbers; the markers of a growing log are no records."""
    wanted = {name.removeprefix("KIND_"): value for name, value in record_pb2.Kind.items()}
    for marker in ("UNSPECIFIED", "FENCE", "OPEN"):
        del wanted[marker]
    assert {kind.name: int(kind) for kind in Kind} == wanted
    assert {kind.name for kind in CHANGES} == {"EDIT", "WITHDRAWAL", "REACTION"}


def test_a_key_of_the_server_s_own_cannot_be_a_client_s():
    """The contract allows no `~` in one."""
    assert own_key(17) == "~17"
    record = from_system(Kind.OPENED, "inbox.u1", "~opened.g1", 5, b"body")
    assert (record.sender_id, record.client_message_id, record.node) == (SYSTEM, "~opened.g1", "")
