"""What a server may never do, and did. Nothing that is told of here was handed over as if it were right."""

from dataclasses import dataclass
from enum import Enum


class ProblemKind(Enum):
    """The values stand in ledgers."""

    DUPLICATE = "duplicate"
    """One event was pushed twice on one stream. The second was left out."""
    REORDERED = "reordered"
    """An event was pushed after a later one of its conversation. It was left out; it is pulled if it was missing."""
    HOLE = "hole"
    """Events are missing and nothing was said of them, or what was announced cannot be fetched."""
    DIFFERENT = "different"
    """Another event stands where one was handed over before. It was left out."""
    CLOCK = "clock"
    """The time of an event is not after that of the one before. It was handed over: its number is what counts."""
    SHRUNK = "shrunk"
    """A conversation ends before events that were handed over. What was handed over stays."""
    GARBAGE = "garbage"
    """Something that is no frame, or an event without a place. It was left out."""
    REDIRECTS = "redirects"
    """The server asks to move again and again. Attempts are spread as after a failure."""
    ANSWER = "answer"
    """A send was answered with another place than the one where the message stands."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `seq` is 0 and `conversation_id` empty where it is about none."""

    kind: ProblemKind
    text: str
    conversation_id: str = ""
    seq: int = 0
