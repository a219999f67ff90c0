"""What is written to stdout: one object a line. The names of classes and fields are the format; plain.md describes it."""

import json
import re
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class State:
    """The connection is in another state."""

    state: str
    why: str
    retry_in: float | None


@dataclass(frozen=True, slots=True)
class Message:
    """Somebody wrote. `own` when it was the user, here or on another device."""

    conversation: str
    title: str
    seq: int
    time: str
    sender: str
    sender_id: str
    own: bool
    message_id: str
    id: str
    content: str
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class History:
    """A message from before, asked for by /history, in its newest form."""

    conversation: str
    title: str
    seq: int
    time: str
    sender: str
    sender_id: str
    own: bool
    message_id: str
    content: str
    edited: bool
    withdrawn: bool
    reactions: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Edit:
    """The text of message `message_id` was replaced."""

    conversation: str
    title: str
    seq: int
    time: str
    sender: str
    sender_id: str
    own: bool
    message_id: str
    content: str


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Message `message_id` was taken back."""

    conversation: str
    title: str
    seq: int
    time: str
    sender: str
    sender_id: str
    own: bool
    message_id: str


@dataclass(frozen=True, slots=True)
class Reaction:
    """Somebody reacted to message `message_id`, or took that back (`removed`)."""

    conversation: str
    title: str
    seq: int
    time: str
    sender: str
    sender_id: str
    own: bool
    message_id: str
    emoji: str
    removed: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """Members of a group changed. `name` is set when the group was named."""

    conversation: str
    title: str
    seq: int
    time: str
    sender: str
    sender_id: str
    own: bool
    joined: list[str]
    left: list[str]
    changed: list[str]
    name: str


@dataclass(frozen=True, slots=True)
class Joined:
    """The user is part of a group now."""

    conversation: str
    title: str


@dataclass(frozen=True, slots=True)
class Left:
    """The user is no longer part of a group."""

    conversation: str
    title: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What was said under `id` is stored."""

    id: str
    conversation: str
    seq: int
    time: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """What was said under `id` will not be sent."""

    id: str
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Typing:
    """Somebody writes."""

    conversation: str
    title: str
    sender: str
    sender_id: str


@dataclass(frozen=True, slots=True)
class Read:
    """Somebody has read up to `seq`."""

    conversation: str
    title: str
    sender: str
    sender_id: str
    own: bool
    seq: int


@dataclass(frozen=True, slots=True)
class Opened:
    """Lines without an address go to this conversation now."""

    conversation: str
    title: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One conversation, asked for by /list."""

    conversation: str
    title: str
    unread: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Members:
    """Who is in the open conversation, asked for by /members."""

    conversation: str
    title: str
    members: list[str]


@dataclass(frozen=True, slots=True)
class Problem:
    """The server has done what it may not; what it said was not believed."""

    kind: str
    text: str
    conversation: str
    seq: int


@dataclass(frozen=True, slots=True)
class Error:
    """A line of the input was not done. `line` is its number, from 1; 0 when it is about none."""

    text: str
    line: int = field(default=0)


PlainEvent = (
    State
    | Message
    | History
    | Edit
    | Withdrawal
    | Reaction
    | Membership
    | Joined
    | Left
    | Sent
    | Refused
    | Typing
    | Read
    | Opened
    | Listed
    | Members
    | Problem
    | Error
)


def name(kind: type) -> str:
    """What `event` is for a class."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def line(event: PlainEvent) -> str:
    """The event as it is written, without the line feed. Non-ASCII and control characters are escaped."""
    return json.dumps({"event": name(type(event))} | asdict(event))
