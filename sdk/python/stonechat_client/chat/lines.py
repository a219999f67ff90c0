"""Lines: what a person types, and what a person sees. Pure."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

COMMANDS = {
    "/to NAME": "open the conversation with a user, or a group of yours",
    "/group NAME MEMBERS…": "create a group and open it; a NAME of several words in quotes",
    "/add MEMBERS…": "add users to this group",
    "/members": "who is here",
    "/list": "your conversations, and what is unread",
    "/history [COUNT]": "what was said before the oldest line shown",
    "/edit [#N] TEXT": "replace the text of your message N, or of your last one",
    "/withdraw [#N]": "take your message N, or your last one, back for good",
    "/react [#N] EMOJI": "react to message N, or to the last one",
    "/help": "this list; to say something that begins with /, begin with //",
    "/quit": "leave; so do Ctrl-D and Ctrl-C",
}
NAMES = tuple(command.split()[0] for command in COMMANDS)

_NUMBER = re.compile(r"#([0-9]{1,18})(?:\s+|$)")
# They change the direction of what stands around them, and so what a line seems to say.
_DIRECTION = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Style(Enum):
    """What a line is, for those that colour it."""

    MESSAGE = "message"
    OWN = "own"
    NOTE = "note"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to show; it may run over several rows."""

    text: str
    style: Style = Style.NOTE


@dataclass(frozen=True, slots=True)
class Command:
    """`/name rest`."""

    name: str
    rest: str


def parse(typed: str) -> Command | str:
    """A command, or the text of a message: empty when there is nothing to send."""
    text = typed.strip()
    if text.startswith("//"):
        return text[1:]
    if not text.startswith("/"):
        return text
    name, _, rest = text.partition(" ")
    return Command(name.lower(), rest.strip())


def numbered(rest: str) -> tuple[int | None, str]:
    """The message that `#N …` names, and what follows; None when it names none."""
    match = _NUMBER.match(rest)
    return (int(match[1]), rest[match.end() :].strip()) if match else (None, rest)


def clean(text: str) -> str:
    """Text of others, without anything that would steer the terminal. Rows after the first are indented."""
    rows = ["".join(map(_harmless, row)) for row in text.splitlines()] or [""]
    return "\n        ".join(rows)


def _harmless(character: str) -> str:
    if character == "\t":
        return " "
    return "\ufffd" if unicodedata.category(character) == "Cc" or character in _DIRECTION else character


def clock(sent: datetime, now: datetime) -> str:
    """When it was, as short as can be: both in local time."""
    return sent.strftime("%H:%M" if sent.date() == now.date() else "%d %b %H:%M")


def message(when: str, seq: int, sender: str, text: str, own: bool, edited: bool = False) -> Line:
    """A message. Own ones have a ✓: they are shown once they are stored."""
    note = " (edited)" if edited else ""
    tick = " ✓" if own else ""
    return Line(f"{when} #{seq} {sender}: {clean(text)}{note}{tick}", Style.OWN if own else Style.MESSAGE)


def gone(when: str, seq: int, sender: str) -> Line:
    """A message that was taken back."""
    return Line(f"{when} #{seq} {sender} took this message back")


def unread(title: str, count: int, when: str) -> Line:
    """A conversation in a list of them."""
    new = f"{count} unread" if count else ""
    return Line(f"  {title:<24} {new:<12} {when}".rstrip())


def helped() -> Line:
    """All commands."""
    return Line("\n".join(f"  {command:<22} {what}" for command, what in COMMANDS.items()))
