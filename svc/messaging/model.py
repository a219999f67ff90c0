"""What messaging reasons with, besides the words of the relay."""

from dataclasses import dataclass

from svc.kernel.errors import StonechatError


@dataclass(frozen=True, slots=True)
class Membership:
    """A user's part in a conversation. `version` is the membership version that made it so (0 in a direct one); `time_us` the
    time of the conversation's newest event, 0 when it has none."""

    conversation_id: str
    version: int
    member: bool
    time_us: int


@dataclass(frozen=True, slots=True)
class Head:
    """A conversation as one user's session is told of it. `time_us` is 0 when it has no event."""

    conversation_id: str
    last_seq: int
    unread_count: int
    read_seq: int
    time_us: int


@dataclass(frozen=True, slots=True)
class ReadMark:
    """A user has read a conversation up to seq."""

    user_id: str
    conversation_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class TargetState:
    """A message that somebody wants to change, as it is now."""

    sender_id: str
    record_id: int
    is_message: bool
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client asks to be numbered, checked against the contract. `target` is the message id that is changed."""

    kind: int
    to: str
    body: bytes
    client_message_id: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of a stream: conversation → the newest seq up to which the client misses nothing."""

    known: dict[str, int]


@dataclass(frozen=True, slots=True)
class Renewal:
    """A fresh access token for the stream."""

    access_token: str


@dataclass(frozen=True, slots=True)
class Typing:
    """The user writes in a conversation."""

    conversation_id: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a client's stream; what is wrong with it, when something is. request_id 0: no result is wanted."""

    request_id: int
    body: Hello | Draft | ReadMark | Typing | Renewal | StonechatError
