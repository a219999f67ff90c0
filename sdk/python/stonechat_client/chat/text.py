"""Text of others, made harmless, and times as people write them. Pure."""

import unicodedata
from datetime import datetime

# They change the direction of what stands around them, and so what a line seems to say.
_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    """Without anything that would steer a terminal. Rows stay, divided by line feeds."""
    return "\n".join("".join(map(_harmless, row)) for row in text.splitlines())


def one_row(text: str) -> str:
    """The same in one row."""
    return " ".join(clean(text).split())


def _harmless(character: str) -> str:
    if character == "\t":
        return "    "
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") or character in _DIRECTION else character


def clock(at: datetime) -> str:
    """The time of day where the person is."""
    return at.astimezone().strftime("%H:%M")


def day(at: datetime, now: datetime) -> str:
    """The day where the person is, in words."""
    local, today = at.astimezone().date(), now.astimezone().date()
    match (today - local).days:
        case 0:
            return "Today"
        case 1:
            return "Yesterday"
    return local.strftime("%A, %d %B" if local.year == today.year else "%d %B %Y")


def when(at: datetime, now: datetime) -> str:
    """As short as can be: the time of today, else the day."""
    local, today = at.astimezone(), now.astimezone()
    if local.date() == today.date():
        return local.strftime("%H:%M")
    return local.strftime("%d %b" if local.year == today.year else "%d.%m.%y")
