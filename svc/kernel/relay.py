"""The words between a messaging node and the owner of a conversation (protocol S1).

One first-in-first-out stream for each (node, delivery instance), for as long as both live. Down come items in order; up go
subscriptions, unanswered requests and signals. Messaging and delivery both speak these words and never import each other; a
stream is served in the process (`svc.delivery.streams`) or over gRPC.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from svc.kernel.registry import Instance


class Outcome(IntEnum):
    """The verdict on a record; the numbers are those of `stonechat.delivery.v1.Outcome`."""

    STORED = 1
    REPEAT = 2
    CONFLICT = 3
    EXPIRED = 4
    NO_TARGET = 5
    STALE = 6
    UNPROCESSABLE = 7
    MOVED = 8


CLAIM_BITS = 64


def claim_of(era: int, number: int) -> int:
    """What Acks and Events say of their owner: of two the one with the higher is later. Claims of one partition grow;
    a shard that moves to another begins an era (L1), so this grows for each conversation, whoever owns it."""
    return (era << CLAIM_BITS) + number


@dataclass(frozen=True, slots=True)
class Ack:
    """Answers a subscription: the next event on this stream is `head + 1`. `claim`: see `claim_of`."""

    conversation_id: str
    head: int
    claim: int


@dataclass(frozen=True, slots=True)
class Event:
    """A stored event. `frame` is an encoded `ConnectResponse` holding it, made once for everybody.

    `subjects`: who left (a membership change), the conversation (opened, joined, left), or the device (signed out).
    `version`: the membership version of the change that it is or tells of.
    """

    conversation_id: str
    seq: int
    claim: int
    frame: bytes
    kind: int
    subjects: tuple[str, ...] = ()
    version: int = 0
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """Stands for events that were not relayed, up to `head`."""

    conversation_id: str
    head: int


@dataclass(frozen=True, slots=True)
class NotOwner:
    """This instance does not own the conversation (any more)."""

    conversation_id: str


@dataclass(frozen=True, slots=True)
class Signal:
    """Ephemeral. `key` conflates: of two with the same key the newer counts. `frame` as in Event."""

    conversation_id: str
    key: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on one request of the node."""

    request_id: int
    outcome: Outcome
    seq: int
    record_id: int
    time_us: int


@dataclass(frozen=True, slots=True)
class Tick:
    """The stream lives. Once a second."""


Item = Ack | Event | Moved | NotOwner | Signal | Answer | Tick


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request whose answer may have been lost with the stream before (S9)."""

    request_id: int
    conversation_id: str
    sender_id: str
    client_message_id: str
    record_id: int


class RelayStream(Protocol):
    """The node's end of one stream. It ends when `receive` raises `Unavailable`; then open a new one."""

    def subscribe(self, conversation_ids: Sequence[str]) -> None:
        """Ask for the events of conversations. Each is answered by an Ack or NotOwner."""
        ...

    def unsubscribe(self, conversation_ids: Sequence[str]) -> None:
        """No longer wanted. Items under way may still come."""
        ...

    def unanswered(self, requests: Sequence[Unanswered]) -> None:
        """List requests that wait: those already stored are answered now, the rest as the log is read."""
        ...

    def signal(self, signal: Signal) -> None:
        """Hand an ephemeral event to all who subscribed. May be dropped."""
        ...

    async def receive(self) -> Sequence[Item]:
        """Wait for items; in order, in batches, never empty. Raises `Unavailable` when the stream has ended."""
        ...

    async def close(self) -> None:
        """Leave: `receive` raises, and what was subscribed is gone."""
        ...


class Relay(Protocol):
    """How a node reaches owners."""

    async def open(self, node: str, instance: Instance) -> RelayStream:
        """A new stream to an instance, for the node with this boot id. Raises `Unavailable`."""
        ...
