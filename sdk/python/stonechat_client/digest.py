"""What stands for an event in a ledger: short, and comparable with what is stored long after.

A digest has two halves. What a message says may change after somebody saw it: an edit replaces its text, a withdrawal takes
text and type away, from the message and from every edit of it. The head covers all the rest, which never changes, so the
heads of one event are equal whenever and however it was read. The content covers type and text alone.
"""

import hashlib

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message

_BYTES = 8


def digest(event: ConversationEvent) -> str:
    """`<head>-<content>`, each the lower-case hex of a blake2b of 8 bytes, over deterministic serializations.

    Head: the event without `message.type`, `message.content`, `edit.type` and `edit.content`. Content: a `Message` of that
    type and content, also for an edit, so that an edited message has the content of its newest edit; empty for other kinds.
    """
    kind = event.WhichOneof("body")
    if kind not in ("message", "edit"):
        return f"{_hash(event.SerializeToString(deterministic=True))}-"
    head = ConversationEvent()
    head.CopyFrom(event)
    said = head.message if kind == "message" else head.edit
    content = content_digest(said.type, said.content)
    said.ClearField("type")
    said.ClearField("content")
    return f"{_hash(head.SerializeToString(deterministic=True))}-{content}"


def content_digest(type: str, content: str) -> str:
    """The second half of the digest of a message that has this type and content."""
    return _hash(Message(type=type, content=content).SerializeToString(deterministic=True))


def _hash(encoded: bytes) -> str:
    return hashlib.blake2b(encoded, digest_size=_BYTES).hexdigest()
