"""The list of conversations as the sidebar shows it."""

from collections.abc import Iterator
from datetime import datetime

from stonechat_client.chat import ids
from stonechat_client.chat.app.sidebar import Row
from stonechat_client.chat.chat import Chat
from stonechat_client.chat.text import one_row, when


def rows(chat: Chat, now: datetime, seen_id: str) -> Iterator[Row]:
    """One for each conversation, most recent first. Of `seen_id` nothing is unread: the person is looking at it."""
    for one in chat.conversations:
        typists = chat.conversations.typists(one.conversation_id)
        last = one_row(one.said)
        if typists:
            last = typing(chat, one.conversation_id)
        elif last and (one.said_by == chat.user_id or ids.is_group(one.conversation_id)):
            last = f"{chat.names.person(one.said_by)}: {last}"
        yield Row(
            one.conversation_id,
            chat.names.conversation(one.conversation_id),
            when(one.at, now) if one.last_seq else "",
            last,
            0 if one.conversation_id == seen_id else one.unread,
            bool(typists),
        )


def typing(chat: Chat, conversation_id: str) -> str:
    """Who writes in a conversation, in words; empty when nobody does."""
    names = [chat.names.user(user_id) for user_id in chat.conversations.typists(conversation_id)]
    if not names:
        return ""
    if len(names) > 2:
        return f"{len(names)} people are typing …"
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} typing …"
