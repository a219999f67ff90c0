"""Stored rows → model: what a body says, and the digest of the event as a client sees it."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from stonechat.groups.v1.membership_pb2 import MembershipChange
from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from stonechat_client.digest import content_digest, digest
from svc.kernel.frames import conversation_event
from svc.kernel.record import Kind, Record, digest_of
from svc.verify.model import Body


def _membership(change: MembershipChange) -> Body:
    joined = tuple(member.user_id for member in change.joined)
    return Body(joined=joined, left=tuple(change.left), version=change.version)


_READERS: dict[int, tuple[type[Any], Callable[[Any], Body]]] = {
    Kind.MESSAGE: (bodies.Message, lambda body: Body(content_digest(body.type, body.content))),
    Kind.EDIT: (bodies.Edit, lambda body: Body(content_digest(body.type, body.content), body.message_id)),
    Kind.WITHDRAWAL: (bodies.Withdrawal, lambda body: Body(target=body.message_id)),
    Kind.REACTION: (bodies.Reaction, lambda body: Body(target=body.message_id)),
    Kind.MEMBERSHIP: (MembershipChange, _membership),
    Kind.JOINED: (bodies.ConversationJoined, lambda body: Body(version=body.version)),
    Kind.LEFT: (bodies.ConversationLeft, lambda body: Body(version=body.version)),
}


def to_body(kind: int, encoded: bytes) -> Body | None:
    """What a body says; None when the bytes are not what the kind says. Of a kind that is not looked into: nothing."""
    if kind not in _READERS:
        return Body()
    form, read = _READERS[kind]
    try:
        return read(form.FromString(encoded))
    except DecodeError:
        return None


def head_of(
    conversation_id: str,
    seq: int,
    time_us: int,
    sender_id: str,
    record_id: int,
    client_message_id: str,
    ordinal: int,
    kind: int,
    body: bytes,
) -> str:
    """The first half of the digest of an event that a client was handed; empty when its body cannot be read."""
    shown = b"" if kind == Kind.UNPROCESSABLE else body
    encoded = conversation_event(
        conversation_id, seq, time_us, sender_id, record_id, client_message_id, ordinal, kind, shown
    )
    try:
        return digest(bodies.ConversationEvent.FromString(encoded)).partition("-")[0]
    except DecodeError:
        return ""


def asked(kind: int, target_seq: int, version: int, body: bytes) -> bytes | None:
    """The digest that the key row of such an event holds; None for a kind that is newer than this program."""
    try:
        return digest_of(Record(Kind(kind), "", "", "", 0, body, target_seq=target_seq, version=version))
    except ValueError:
        return None
