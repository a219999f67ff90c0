"""Requests and answers of HistoryService ↔ model.

Bodies of events pass through as the bytes that were stored: an answer of ListEvents is joined from them, not built of
messages.
"""

import base64
import binascii
import re
from collections.abc import Sequence

from stonechat.history.v1 import history_service_pb2 as api
from stonechat.messaging.v1 import conversation_event_pb2, event_pb2
from svc.history.model import Conversation, Place, Run, StoredEvent, Window
from svc.kernel.errors import InvalidField
from svc.kernel.frames import conversation_event, field, shown_key, timestamp
from svc.kernel.ids import MAX_SNOWFLAKE, MessageRef, is_conversation_id, message_id, parse_message_id
from svc.kernel.record import Kind

MESSAGES_LIMIT = 50
EVENTS_LIMIT = 100
CONVERSATIONS_LIMIT = 50

_EVENTS_FIELD = api.ListEventsResponse.EVENTS_FIELD_NUMBER
_PLACE = re.compile(r"([0-9]{1,19}) (\S{1,64})")


def to_window(request: api.ListMessagesRequest) -> Window:
    """Which messages are asked for. Raises InvalidField."""
    if request.last_message_id and request.after_message_id:
        raise InvalidField("after_message_id", "must be empty when last_message_id is given")
    return Window(
        request.limit or MESSAGES_LIMIT,
        before=_ref("last_message_id", request.last_message_id),
        after=_ref("after_message_id", request.after_message_id),
    )


def _ref(name: str, text: str) -> MessageRef | None:
    ref = parse_message_id(text)
    if text and ref is None:
        raise InvalidField(name, "must be a message id as it was given out")
    return ref


def from_messages(messages: Sequence[StoredEvent]) -> api.ListMessagesResponse:
    """The answer that holds these messages, in this order."""
    return api.ListMessagesResponse(messages=[_from_message(message) for message in messages])


def _from_message(stored: StoredEvent) -> api.Message:
    body = conversation_event_pb2.Message.FromString(stored.body)
    return api.Message(
        message_id=message_id(stored.record_id, stored.seq),
        content=body.content,
        timestamp=timestamp(stored.time_us),
        sender_id=stored.sender_id,
        seq=stored.seq,
        type=body.type,
        client_message_id=shown_key(stored.client_message_id),
        edited=stored.edited,
        withdrawn=stored.withdrawn,
    )


def from_run(run: Run) -> bytes:
    """The encoded `ListEventsResponse` that holds these events."""
    tail = api.ListEventsResponse(last_seq=run.last_seq).SerializeToString()
    return b"".join([*(field(_EVENTS_FIELD, from_event(event)) for event in run.events), tail])


def from_event(stored: StoredEvent) -> bytes:
    """The encoded `ConversationEvent`: its head, and the stored body under the field that its kind names."""
    return conversation_event(
        stored.conversation_id,
        stored.seq,
        stored.time_us,
        stored.sender_id,
        stored.record_id,
        stored.client_message_id,
        stored.ordinal,
        stored.kind,
        _shown_body(stored),
    )


def _shown_body(stored: StoredEvent) -> bytes:
    if stored.must_not_show_text:
        edit = conversation_event_pb2.Edit.FromString(stored.body)
        return conversation_event_pb2.Edit(message_id=edit.message_id).SerializeToString()
    # The contract gives it no fields, whatever was stored to find out what went wrong.
    return b"" if stored.kind == Kind.UNPROCESSABLE else stored.body


def from_conversations(page: Sequence[Conversation], following: Place | None) -> api.ListConversationsResponse:
    """The answer that holds these conversations, and the token of the page that follows."""
    return api.ListConversationsResponse(
        conversations=[_from_conversation(conversation) for conversation in page],
        next_page_token="" if following is None else to_token(following),
    )


def _from_conversation(conversation: Conversation) -> event_pb2.ConversationHead:
    return event_pb2.ConversationHead(
        conversation_id=conversation.conversation_id,
        last_seq=conversation.last_seq,
        unread_count=conversation.unread,
        read_seq=conversation.read_seq,
        timestamp=timestamp(conversation.time_us) if conversation.last_seq else None,
    )


def to_token(place: Place) -> str:
    """A page token: opaque to clients."""
    return base64.urlsafe_b64encode(f"{place.time_us} {place.conversation_id}".encode()).decode().rstrip("=")


def from_token(token: str) -> Place | None:
    """The place that a page token names, None for the empty one. Raises InvalidField when the token is not ours."""
    if not token:
        return None
    try:
        text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    match = _PLACE.fullmatch(text)
    if match is None or int(match[1]) > MAX_SNOWFLAKE or not is_conversation_id(match[2]):
        raise InvalidField("page_token", "must be next_page_token of the page before, or empty")
    return Place(int(match[1]), match[2])
