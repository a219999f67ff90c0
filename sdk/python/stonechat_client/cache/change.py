"""What an event changes in an earlier one."""

from collections.abc import Callable

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message

At = Callable[[int], ConversationEvent | None]


def change(event: ConversationEvent, at: At) -> ConversationEvent | None:
    """Change what an edit or a withdrawal names, in place; returns it. None when the event changes nothing that is kept.
    `at` finds an event of the same conversation by its seq."""
    match event.WhichOneof("body"):
        case "edit":
            message_id, now = event.edit.message_id, Message(type=event.edit.type, content=event.edit.content)
        case "withdrawal":
            message_id, now = event.withdrawal.message_id, Message()
        case _:
            return None
    seq = message_id.rpartition(".")[2]
    target = at(int(seq)) if seq.isdecimal() else None
    if target is None or target.message_id != message_id or not target.HasField("message"):
        return None
    target.message.CopyFrom(now)
    return target
