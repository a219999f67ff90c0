"""What is appended to `conversation.accepted` (protocol L1), and how it is encoded.

Everybody who appends builds a `Record`; only the owner reads it. The body stays the bytes that it was from here to the client:
a decision about cost, since a message is encoded once in its whole life. That it is what its kind says is checked (0.7 µs).
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtoMessage

from stonechat.delivery.v1 import record_pb2
from stonechat.groups.v1.membership_pb2 import MembershipChange
from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from svc.kernel.errors import MalformedRequest
from svc.kernel.eventlog import Entry, LoggedEntry
from svc.kernel.ids import MAX_SNOWFLAKE, SYSTEM, is_conversation_id
from svc.kernel.shards import ShardMap


class Kind(IntEnum):
    """What a record asks for. Numbers: the field of its body in `ConversationEvent`."""

    MESSAGE = 16
    EDIT = 17
    WITHDRAWAL = 18
    REACTION = 19
    MEMBERSHIP = 20
    UNPROCESSABLE = 21
    OPENED = 22
    JOINED = 23
    LEFT = 24
    CONTACT_CHANGED = 25
    DEVICE_SIGNED_OUT = 26


CHANGES = frozenset({Kind.EDIT, Kind.WITHDRAWAL, Kind.REACTION})
"""Kinds that name an earlier event."""


@dataclass(frozen=True, slots=True)
class Record:
    """A request to number one event. Idempotent by (conversation_id, sender_id, client_message_id)."""

    kind: Kind
    conversation_id: str
    sender_id: str
    client_message_id: str
    record_id: int
    body: bytes
    target_seq: int = 0
    target_record_id: int = 0
    not_after_us: int = 0
    node: str = ""
    request_id: int = 0
    traceparent: str = ""
    version: int = 0
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


KEY_WINDOW_US = 24 * 3600 * 1_000_000
"""How old the first event of a key may be, in append time, for a record to be its repeat (L7). Whoever remembers more must
not know more: key rows live longer only so that replays of old records find them."""


def digest_of(record: Record) -> bytes:
    """16 bytes that stand for what a record asks: the same key with another digest is a conflict (L6)."""
    asked = hashlib.blake2b(digest_size=16)
    asked.update(b"%d %d %d " % (record.kind, record.target_seq, record.version))
    asked.update(record.body)
    return asked.digest()


_FORMS: dict[Kind, type[ProtoMessage]] = {
    Kind.MESSAGE: bodies.Message,
    Kind.EDIT: bodies.Edit,
    Kind.WITHDRAWAL: bodies.Withdrawal,
    Kind.REACTION: bodies.Reaction,
    Kind.MEMBERSHIP: MembershipChange,
}


def own_key(record_id: int) -> str:
    """The idempotency key of a record whose client gave none (L6). No client can choose it: `~` is not allowed."""
    return f"~{record_id}"


class Mark(IntEnum):
    """What an entry that is no record says of a shard (protocol G1). Numbers as in `stonechat.delivery.v1.Kind`."""

    FENCE = 100
    OPEN = 101


_MARKED = "shard."


def mark_entry(mark: Mark, shard: int, partition: int, incident: int) -> Entry:
    """A mark, as an entry of `conversation.accepted`. Its key names the shard: no conversation is called so. It says nothing in
    another incident of the log than this one: whoever appended it knew another log."""
    value = record_pb2.Record(kind=int(mark), version=incident)  # type: ignore[arg-type]
    return Entry(partition, f"{_MARKED}{shard}", value.SerializeToString())


def marked(entry: LoggedEntry) -> tuple[Mark, int, int] | None:
    """The mark, its shard and its incident, if an entry is one."""
    if not entry.key.startswith(_MARKED):
        return None
    try:
        found = record_pb2.Record.FromString(entry.value)
        return Mark(found.kind), int(entry.key.removeprefix(_MARKED)), found.version
    except (DecodeError, ValueError):
        return None


def from_system(kind: Kind, conversation_id: str, key: str, record_id: int, body: bytes) -> Record:
    """A record that a service appends by itself, with a key derived from its cause."""
    return Record(kind, conversation_id, SYSTEM, key, record_id, body)


def encode(record: Record) -> bytes:
    """`stonechat.delivery.v1.Record`."""
    return record_pb2.Record(
        kind=int(record.kind),  # type: ignore[arg-type]
        conversation_id=record.conversation_id,
        sender_id=record.sender_id,
        client_message_id=record.client_message_id,
        record_id=record.record_id,
        body=record.body,
        target_seq=record.target_seq,
        target_record_id=record.target_record_id,
        not_after_us=record.not_after_us,
        node=record.node,
        request_id=record.request_id,
        traceparent=record.traceparent,
        version=record.version,
        joined=record.joined,
        left=record.left,
    ).SerializeToString()


def decode(value: bytes) -> Record:
    """The record that was encoded. Raises MalformedRequest when the bytes are none, it names no conversation, or its body is
    not what its kind says: whoever reads it later could not."""
    try:
        message = record_pb2.Record.FromString(value)
        kind = Kind(message.kind)
        if (form := _FORMS.get(kind)) is not None:
            form.FromString(message.body)
    except (DecodeError, ValueError) as error:
        raise MalformedRequest(f"no record: {error}") from None
    if max(message.record_id, message.target_seq, message.target_record_id, message.version) > MAX_SNOWFLAKE:
        raise MalformedRequest("no record: a number that no store can hold")
    if not is_conversation_id(message.conversation_id):
        raise MalformedRequest(f"no conversation: {message.conversation_id!r}")
    return Record(
        kind,
        message.conversation_id,
        message.sender_id,
        message.client_message_id,
        message.record_id,
        message.body,
        message.target_seq,
        message.target_record_id,
        message.not_after_us,
        message.node,
        message.request_id,
        message.traceparent,
        message.version,
        tuple(message.joined),
        tuple(message.left),
    )


def to_entry(record: Record, shards: ShardMap) -> Entry:
    """The record as an entry of `conversation.accepted`."""
    return Entry(shards.partition_of(record.conversation_id), record.conversation_id, encode(record))
