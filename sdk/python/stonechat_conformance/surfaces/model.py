"""What every surface offers."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

import grpc
import httpx
from google.protobuf.message import Message

from stonechat.messaging.v1.event_pb2 import Event
from stonechat_conformance.contract import Method


@dataclass
class Network:
    """Connections to one product, as one client process has them."""

    dial: Callable[..., httpx.AsyncClient]  # another HTTP client, by what is special about it
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


class Caller(Protocol):
    """Calls. They raise Refused."""

    network: Network

    @staticmethod
    def lacks(method: Method) -> str:
        """Why a method cannot be called here; empty when it can."""
        ...

    async def call(self, request: Message, token: str) -> Message:
        """The answer to a request; of a server stream the first one."""
        ...

    async def nonsense(self, method: Method, token: str) -> None:
        """Call a unary method with what is no request."""
        ...


class Surface(Caller, Protocol):
    """One way to use the product: to call and to listen. Both raise Refused."""

    resumes_by_cursor: bool

    def listen(self, token: str, place: Place) -> AsyncGenerator[Batch, None]:
        """What a session is told, until it ends."""
        ...


STREAM_SECONDS = 60.0
"""A stream that says nothing for so long is dead: a Heartbeat comes every 25 seconds."""


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
