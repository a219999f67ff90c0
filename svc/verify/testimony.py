"""What clients wrote down, line by line: the words of a ledger. Times are µs since 1970, UTC; a seq counts from 1."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Began:
    """A session of a user's device begins."""

    user_id: str
    device_id: str
    at_us: int


@dataclass(frozen=True, slots=True)
class From:
    """The client follows the conversation from above seq."""

    conversation_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class Saw:
    """The client was handed the event with this digest."""

    conversation_id: str
    seq: int
    digest: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A send was acknowledged with this place."""

    conversation_id: str
    seq: int
    client_message_id: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Left:
    """The client no longer follows the conversation; seq is the newest that it had."""

    conversation_id: str
    seq: int


@dataclass(frozen=True, slots=True)
class Problem:
    """The client saw a promise broken by itself."""

    kind: str
    conversation_id: str
    seq: int
    text: str


Line = Began | From | Saw | Sent | Left | Problem


@dataclass(frozen=True, slots=True)
class Ledger:
    """One file of one user. `began_us`: when its first session did. `place` names it for people."""

    number: int
    place: str
    user_id: str
    began_us: int


@dataclass(frozen=True, slots=True)
class Said:
    """A line about a conversation, and where it stands: ledger, session of the ledger, line of the file."""

    ledger: Ledger
    session: int
    line: int
    what: From | Saw | Sent | Left

    @property
    def where(self) -> str:
        """Its place, for people."""
        return f"{self.ledger.place}:{self.line}"
