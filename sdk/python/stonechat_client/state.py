"""In which state a session is: one word for a program to show its user."""

from enum import Enum


class State(Enum):
    """CONNECTING ⇄ OFFLINE until the server answers; then CATCHING_UP → LIVE, and back when something is missing."""

    CONNECTING = "connecting"
    """A stream is being opened; the server has not answered yet."""
    CATCHING_UP = "catching up"
    """Connected; what was missed meanwhile is being pulled."""
    LIVE = "live"
    """Everything there is was handed over; what comes next is pushed."""
    OFFLINE = "offline"
    """No connection. The next attempt comes by itself; what is sent waits."""
    SIGNED_OUT = "signed out"
    """No token of this device is good any more. Final: sign in, and open another session."""
    CLOSED = "closed"
    """Final: the program has left, or the server refuses the session for good."""
