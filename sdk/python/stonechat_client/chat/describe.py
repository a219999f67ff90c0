"""Events as lines."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from stonechat.groups.v1.membership_pb2 import MembershipChange, Role
from stonechat.history.v1.history_service_pb2 import Message
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat_client.chat import lines
from stonechat_client.chat.lines import Line
from stonechat_client.chat.names import SYSTEM, Names

_ROLES = {Role.ROLE_ADMIN: "an admin", Role.ROLE_OWNER: "the owner"}


def when(timestamp: Timestamp) -> str:
    """A time in the person's own time zone, as short as can be."""
    return lines.clock(timestamp.ToDatetime(tzinfo=UTC).astimezone(), datetime.now().astimezone())


async def describe_stored(message: Message, names: Names, own: bool) -> Line:
    """A message as history holds it."""
    at, sender = when(message.timestamp), await names.user(message.sender_id)
    if message.withdrawn:
        return lines.gone(at, message.seq, sender)
    return lines.message(at, message.seq, sender, message.content, own, message.edited)


async def describe(event: ConversationEvent, names: Names, own: bool) -> Line | None:
    """An event that was handed over; None when there is nothing to show."""
    at, sender = when(event.timestamp), await names.user(event.sender_id)
    match event.WhichOneof("body"):
        case "message":
            # Without a type its content is gone: it was taken back before it was pulled.
            if not event.message.type:
                return lines.gone(at, event.seq, sender)
            return lines.message(at, event.seq, sender, event.message.content, own)
        case "edit":
            if not event.edit.content:
                return None
            return Line(f"{at} {sender} edited #{_seq(event.edit.message_id)}: {lines.clean(event.edit.content)}")
        case "withdrawal":
            return Line(f"{at} {sender} took #{_seq(event.withdrawal.message_id)} back")
        case "reaction":
            emoji, target = lines.clean(event.reaction.emoji), _seq(event.reaction.message_id)
            what = "took back" if event.reaction.removed else "reacted with"
            return Line(f"{at} {sender} {what} {emoji} on #{target}")
        case "membership":
            said = await _membership(event.membership, event.sender_id, names)
            return Line(f"{at} {said}") if said else None
        case "joined":
            title = await names.conversation(event.joined.conversation_id)
            return Line(f"{at} you are in the group {title} now: /to {title}")
        case "left":
            return Line(f"{at} you are no longer in the group {await names.conversation(event.left.conversation_id)}")
        case _:
            return None


async def _membership(change: MembershipChange, actor_id: str, names: Names) -> str:
    actor, parts = await names.user(actor_id), []
    joined = [member.user_id for member in change.joined if member.user_id != actor_id]
    if change.version == 1:
        parts.append(f"created the group {lines.clean(change.name)}")
    elif change.name:
        parts.append(f"named the group {lines.clean(change.name)}")
    if joined:
        parts.append(f"added {await names.users(joined)}")
    if actor_id in change.left:
        parts.append("left")
    removed = [user_id for user_id in change.left if user_id != actor_id]
    if removed:
        parts.append(f"removed {await names.users(removed)}")
    parts += [
        f"made {await names.user(member.user_id)} {_ROLES.get(member.role, 'a member')}"
        for member in change.changed
        if member.user_id != actor_id
    ]
    return f"{actor} {', '.join(parts)}" if parts and actor_id != SYSTEM else ", ".join(parts)


def _seq(message_id: str) -> str:
    return message_id.rpartition(".")[2]
