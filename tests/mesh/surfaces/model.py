"""What every surface offers."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

import grpc
import httpx
from google.protobuf.message import Message

from stonechat.messaging.v1.event_pb2 import Event


@dataclass
class Network:
    """Connections to one product, as one client process has them."""

    url: str
    stack: AsyncExitStack
    channel: grpc.aio.Channel
    http1: httpx.AsyncClient
    http2: httpx.AsyncClient


@dataclass(frozen=True)
class Batch:
    """Events that came together; with a cursor where the surface has one."""

    events: Sequence[Event]
    cursor: str = ""
    reset: bool = False


@dataclass
class Place:
    """Where a session goes on: what it knows, or its cursor."""

    known: dict[str, int] = field(default_factory=dict)
    cursor: str = ""


class Surface(Protocol):
    """One way to reach the product. Calls and listening raise Refused."""

    resumes_by_cursor: bool

    async def call(self, request: Message, token: str) -> Message:
        """The answer to a request."""
        ...

    def listen(self, token: str, place: Place) -> AsyncIterator[Batch]:
        """What a session is told, until it ends."""
        ...


_extra: ContextVar[dict[str, str] | None] = ContextVar("extra", default=None)


def headers(token: str) -> dict[str, str]:
    """The headers that prove the caller, and those of `sending`."""
    return ({"authorization": f"Bearer {token}"} if token else {}) | (_extra.get() or {})


@contextmanager
def sending(extra: dict[str, str]) -> Iterator[None]:
    """Send more headers with every call and stream that begins in this block."""
    token = _extra.set(extra)
    try:
        yield
    finally:
        _extra.reset(token)
