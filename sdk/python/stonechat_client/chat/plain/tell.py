"""What a session hands over, as events of the plain format."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from stonechat.groups.v1.membership_pb2 import Role
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event
from stonechat.messaging.v1.event_pb2 import Sent as Place
from stonechat_client import items, problems
from stonechat_client.chat import ids
from stonechat_client.chat.names import Names
from stonechat_client.chat.plain import events as plain
from stonechat_client.errors import CallFailed
from stonechat_client.timeline import TimelineMessage

_ROLES = {Role.ROLE_MEMBER: "member", Role.ROLE_ADMIN: "admin", Role.ROLE_OWNER: "owner"}


async def tell(item: items.Item, names: Names, user_id: str) -> plain.PlainEvent | None:
    """The event to write; None when there is nothing to tell. Names that are not known yet are asked for first."""
    match item:
        case items.StateChanged(state, why, retry_in):
            return plain.State(state.value, why, retry_in)
        case items.Delivered(key, sent):
            return stored(key, sent)
        case items.Refused(key, error):
            return plain.Refused(key, str(error), error.reason if isinstance(error, CallFailed) else "")
        case problems.Problem(kind, text, conversation_id, seq):
            return plain.Problem(kind.value, text, conversation_id, seq)
        case Event():
            return await _told(item, names, user_id)
    return None


def stored(key: str, sent: Place) -> plain.Sent:
    """What was said under `key` has its place."""
    return plain.Sent(key, sent.conversation_id, sent.seq, _time(sent.timestamp), sent.message_id)


def history(conversation_id: str, message: TimelineMessage, names: Names, user_id: str) -> plain.History:
    """A message from before."""
    return plain.History(
        conversation_id,
        names.conversation(conversation_id),
        message.seq,
        _iso(message.at),
        names.user(message.sender_id),
        message.sender_id,
        message.sender_id == user_id,
        message.message_id,
        message.content,
        message.edited,
        message.withdrawn,
        {emoji: [names.user(one) for one in users] for emoji, users in message.reactions.items()},
    )


async def _told(event: Event, names: Names, user_id: str) -> plain.PlainEvent | None:
    match event.WhichOneof("payload"):
        case "conversation_event":
            await names.resolve(_named(event.conversation_event, user_id))
            return _happened(event.conversation_event, names, user_id)
        case "typing":
            about = event.typing
            await names.resolve([about.user_id])
            return plain.Typing(
                about.conversation_id,
                names.conversation(about.conversation_id),
                names.user(about.user_id),
                about.user_id,
            )
        case "read_mark":
            mark = event.read_mark
            await names.resolve([mark.user_id])
            title, who = names.conversation(mark.conversation_id), names.user(mark.user_id)
            return plain.Read(mark.conversation_id, title, who, mark.user_id, mark.user_id == user_id, mark.seq)
    return None


def _named(event: ConversationEvent, user_id: str) -> Iterator[str]:
    yield event.sender_id
    yield from (member.user_id for member in (*event.membership.joined, *event.membership.changed))
    yield from event.membership.left
    for conversation_id in (event.conversation_id, event.joined.conversation_id, event.left.conversation_id):
        yield ids.address(conversation_id, user_id)


def _happened(event: ConversationEvent, names: Names, user_id: str) -> plain.PlainEvent | None:
    head: dict[str, Any] = {
        "conversation": event.conversation_id,
        "title": names.conversation(event.conversation_id),
        "seq": event.seq,
        "time": _time(event.timestamp),
        "sender": names.user(event.sender_id),
        "sender_id": event.sender_id,
        "own": event.sender_id == user_id,
    }
    match event.WhichOneof("body"):
        case "message":
            said = event.message
            return plain.Message(
                **head,
                message_id=event.message_id,
                id=event.client_message_id,
                content=said.content,
                withdrawn=not said.type,
            )
        case "edit":
            return plain.Edit(**head, message_id=event.edit.message_id, content=event.edit.content)
        case "withdrawal":
            return plain.Withdrawal(**head, message_id=event.withdrawal.message_id)
        case "reaction":
            to = event.reaction
            return plain.Reaction(**head, message_id=to.message_id, emoji=to.emoji, removed=to.removed)
        case "membership":
            change = event.membership
            return plain.Membership(
                **head,
                joined=[names.user(member.user_id) for member in change.joined],
                left=[names.user(one) for one in change.left],
                changed=[f"{names.user(one.user_id)} {_ROLES.get(one.role, 'unknown')}" for one in change.changed],
                name=change.name,
            )
        case "joined":
            return plain.Joined(event.joined.conversation_id, names.conversation(event.joined.conversation_id))
        case "left":
            return plain.Left(event.left.conversation_id, names.conversation(event.left.conversation_id))
    return None


def _time(timestamp: Timestamp) -> str:
    return _iso(timestamp.ToDatetime(tzinfo=UTC))


def _iso(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at is not None else ""
