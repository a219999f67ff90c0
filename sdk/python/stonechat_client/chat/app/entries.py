"""What the view of a conversation shows, row by row: messages, changes of members, days, and where the new begins. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from stonechat_client.chat import text
from stonechat_client.chat.describe import membership
from stonechat_client.chat.names import Names
from stonechat_client.timeline import Delivery, TimelineItem, TimelineMembership, TimelineMessage

_TOGETHER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Note:
    """A row that is no message. `kind`: day, new or members."""

    key: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A message as it looks. Two that are equal look the same."""

    key: str
    message: TimelineMessage
    sender: str
    """Empty when the row above is by the same sender, shortly before."""
    when: str
    body: str
    reactions: tuple[tuple[str, int, bool], ...]
    """Emoji, how many, and whether the user is among them."""
    own: bool


def entries(
    items: Sequence[TimelineItem], names: Names, user_id: str, unread: range, now: datetime
) -> Iterator[Note | Entry]:
    """The rows for these items. Above the first of the messages that were `unread` stands that there the new begins."""
    day, above, new_begins = "", None, bool(unread)
    for item in items:
        at = item.at or now
        if (today := text.day(at, now)) != day:
            day, above = today, None
            yield Note(f"day {today}", "day", today)
        match item:
            case TimelineMembership():
                above = None
                said = membership(item.change, item.sender_id, names)
                if said:
                    yield Note(f"members {item.seq}", "members", f"{said} · {text.clock(at)}")
            case TimelineMessage():
                own = item.sender_id == user_id
                if new_begins and item.seq in unread and not own:
                    new_begins, above = False, None
                    yield Note("new", "new", "new")
                yield _entry(item, above, names, user_id, own, at)
                above = item


def _entry(
    item: TimelineMessage, above: TimelineMessage | None, names: Names, user_id: str, own: bool, at: datetime
) -> Entry:
    together = (
        above is not None and above.sender_id == item.sender_id and above.at is not None and at - above.at < _TOGETHER
    )
    reactions = ((text.one_row(emoji), len(users), user_id in users) for emoji, users in item.reactions.items())
    return Entry(
        f"message {item.seq}" if item.seq else f"waiting {item.client_message_id}",
        item,
        "" if together else names.person(item.sender_id),
        text.clock(at),
        text.clean(item.content),
        tuple(reactions),
        own,
    )


GLYPHS = {Delivery.WAITING: "○", Delivery.STORED: "✓", Delivery.READ: "✓✓", Delivery.REFUSED: "✗"}
