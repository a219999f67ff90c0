"""An edge with instances behind it, all real: what the tests through Envoy stand on."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from svc.controlplane.wiring import RunningEdge, edge
from svc.kernel.clock import SystemClock
from svc.kernel.registry import Instance, ProcessRegistry
from svc.kernel.settings import for_tests
from tests.controlplane.instance import Running, bearer

SERVICES = ("messaging", "history", "users", "groups")
MESSAGING = "/stonechat.messaging.v1.MessagingService"
HISTORY = "/stonechat.history.v1.HistoryService"


async def until(condition: Callable[[], Any] | Callable[[], Awaitable[Any]], seconds: float = 20.0) -> None:
    """Wait for a condition; TimeoutError when it does not come true."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if asyncio.iscoroutine(value):
            value = await value
        if value:
            return
        if time.monotonic() > end:
            raise TimeoutError(f"{condition} did not come true in {seconds} s")
        await asyncio.sleep(0.02)


@dataclass
class Stand:
    """The edge, and two kinds of client."""

    edge: RunningEdge
    registry: ProcessRegistry
    http: httpx.AsyncClient
    channel: grpc.aio.Channel
    failures: list[BaseException]

    async def add(self, running: Running) -> None:
        await add(self.registry, running)

    async def remove(self, running: Running) -> None:
        for service in SERVICES:
            await self.registry.deregister(service, Instance(running.address, running.name))

    async def who(self, user: str = "u1") -> str:
        """The name of the instance that answers a call of the history service; empty when none does."""
        try:
            answer = await self.call(f"{HISTORY}/ListConversations", history.ListConversationsRequest(), user)
        except grpc.aio.AioRpcError:
            return ""
        return history.ListConversationsResponse.FromString(answer).next_page_token

    async def call(self, method: str, request: Any, user: str = "u1", **options: Any) -> bytes:
        """One unary call with a token; the answer's bytes."""
        stub = self.channel.unary_unary(method)
        metadata = tuple(bearer(user).items()) if user else ()
        answer: bytes = await stub(request.SerializeToString(), metadata=metadata, timeout=10, **options)
        return answer

    def connect(self, user: str = "u1") -> Any:
        """A stream of `Connect`. Read and write bytes."""
        return self.channel.stream_stream(f"{MESSAGING}/Connect")(metadata=tuple(bearer(user).items()))


async def add(registry: ProcessRegistry, running: Running) -> None:
    """Register an instance for every public service."""
    for service in SERVICES:
        await registry.register(service, Instance(running.address, running.name))


@asynccontextmanager
async def stand(folder: Path, *instances: Running, **settings: Any) -> AsyncIterator[Stand]:
    """An edge with instances behind it."""
    registry = ProcessRegistry()
    failures: list[BaseException] = []
    for running in instances:
        await add(registry, running)
    chosen = for_tests(folder, **{"listen": "http://127.0.0.1:0", **settings})
    async with (
        edge(chosen, registry, SystemClock(), failures.append) as running,
        clients(running.url) as (http, channel),
    ):
        yield Stand(running, registry, http, channel, failures)


@asynccontextmanager
async def clients(url: str) -> AsyncIterator[tuple[httpx.AsyncClient, grpc.aio.Channel]]:
    """A client for REST and one for gRPC."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.initial_reconnect_backoff_ms", 100)]
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as http,
        grpc.aio.insecure_channel(url.removeprefix("http://"), options=options) as channel,
    ):
        yield http, channel


def frame(content: str) -> bytes:
    """A frame for `Connect`, which the instance answers with the same content."""
    return messaging.ConnectRequest(send=messaging.SendMessageRequest(content=content)).SerializeToString()


def said(answer: bytes) -> list[str]:
    """What an instance says in a frame."""
    return [event.behind.conversation_id for event in messaging.ConnectResponse.FromString(answer).events]
