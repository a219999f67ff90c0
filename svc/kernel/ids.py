"""Names of things, and where they come from.

Snowflake: 41 bits of milliseconds since 2024-01-01, 10 bits of node, 12 bits of counter (Twitter Snowflake, 2010). As text it
is decimal, with a prefix that tells the kind: `u` user, `g` group, `m` message. Every id has one canonical spelling; any other
is refused.
"""

import logging
import re
import secrets
from dataclasses import dataclass

from svc.kernel.clock import Clock

log = logging.getLogger(__name__)

EPOCH_MS = 1_704_067_200_000
MAX_SNOWFLAKE = (1 << 63) - 1
SYSTEM = "system"

_SEQUENCE_BITS = 12
_NODE_BITS = 10
_MAX_SEQUENCE = (1 << _SEQUENCE_BITS) - 1
# How far the counter may run ahead of a clock that went backwards before the generator takes another node part.
_MAX_DRIFT_MS = 5_000

_NUMBER = r"[1-9][0-9]{0,18}"
_USER = re.compile(rf"u({_NUMBER})")
_GROUP = re.compile(rf"g({_NUMBER})")
_DIRECT = re.compile(rf"d\.(u{_NUMBER})\.(u{_NUMBER})")
_INBOX = re.compile(rf"inbox\.(u{_NUMBER})")
_MESSAGE = re.compile(rf"m({_NUMBER})\.({_NUMBER})")


class SnowflakeGenerator:
    """Ids that grow and never repeat. Not thread-safe: one generator for one event loop.

    When the clock goes backwards the generator keeps the last millisecond and counts on. If it is then more than five
    seconds ahead of the clock it takes another random node part, which `node_switches` counts: the id space of the node
    part used before may have been used up by a process before us.
    """

    def __init__(self, clock: Clock, node: int | None = None) -> None:
        self._clock = clock
        self._node = secrets.randbelow(1 << _NODE_BITS) if node is None else node
        self._last_ms = 0
        self._sequence = 0
        self.node_switches = 0

    def next(self) -> int:
        """The next id: positive, below 2^63."""
        now_ms = self._clock.now_us() // 1000 - EPOCH_MS
        if now_ms > self._last_ms:
            self._last_ms, self._sequence = now_ms, 0
        elif self._sequence < _MAX_SEQUENCE:
            self._sequence += 1
        else:
            self._last_ms, self._sequence = self._last_ms + 1, 0
        if self._last_ms - now_ms > _MAX_DRIFT_MS:
            self._switch_node(now_ms)
        return self._last_ms << (_SEQUENCE_BITS + _NODE_BITS) | self._node << _SEQUENCE_BITS | self._sequence

    def _switch_node(self, now_ms: int) -> None:
        self._node = (self._node + 1 + secrets.randbelow((1 << _NODE_BITS) - 1)) % (1 << _NODE_BITS)
        self._last_ms, self._sequence = max(now_ms, 1), 0
        self.node_switches += 1
        log.warning("the clock went back: ids go on with another node part", extra={"times": self.node_switches})


def new_boot_id() -> str:
    """A name for this run of a process: never used before."""
    return secrets.token_hex(8)


def _number(text: str) -> bool:
    return int(text) <= MAX_SNOWFLAKE


def is_user_id(text: str) -> bool:
    """Whether text is `u<number>` in its canonical spelling."""
    match = _USER.fullmatch(text)
    return match is not None and _number(match[1])


def is_group_id(text: str) -> bool:
    """Whether text is `g<number>` in its canonical spelling."""
    match = _GROUP.fullmatch(text)
    return match is not None and _number(match[1])


def direct_conversation(one: str, other: str) -> str:
    """The direct conversation of two different users: `d.<lower>.<higher>`, compared as numbers."""
    lower, higher = sorted((one, other), key=lambda user: int(user[1:]))
    return f"d.{lower}.{higher}"


def direct_members(conversation_id: str) -> tuple[str, str] | None:
    """The two users of a direct conversation in its canonical spelling, else None."""
    match = _DIRECT.fullmatch(conversation_id)
    if match is None or not (is_user_id(match[1]) and is_user_id(match[2])):
        return None
    return (match[1], match[2]) if int(match[1][1:]) < int(match[2][1:]) else None


def inbox_of(user_id: str) -> str:
    """The private conversation that keeps a user's devices the same."""
    return f"inbox.{user_id}"


def inbox_user(conversation_id: str) -> str | None:
    """Whose inbox it is, or None when it is no inbox."""
    match = _INBOX.fullmatch(conversation_id)
    return match[1] if match is not None and is_user_id(match[1]) else None


def is_conversation_id(text: str) -> bool:
    """Whether text is a direct, group or inbox conversation in its canonical spelling."""
    return is_group_id(text) or direct_members(text) is not None or inbox_user(text) is not None


@dataclass(frozen=True, slots=True)
class MessageRef:
    """The two halves of a message id."""

    record_id: int
    seq: int


def message_id(record_id: int, seq: int) -> str:
    """`m<snowflake>.<seq>`: opaque to clients, needs no look-up table."""
    return f"m{record_id}.{seq}"


def parse_message_id(text: str) -> MessageRef | None:
    """The halves of a message id in its canonical spelling, else None."""
    match = _MESSAGE.fullmatch(text)
    if match is None or not (_number(match[1]) and _number(match[2])):
        return None
    return MessageRef(int(match[1]), int(match[2]))
