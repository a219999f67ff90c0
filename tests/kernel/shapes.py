"""A service with a method of each shape, behind the real call chain and a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool

from stonechat.messaging.v1 import messaging_service_pb2 as pb
from svc.kernel import errors
from svc.kernel.calls import Access, Call, CallChain, handlers
from svc.kernel.channels import translate
from svc.kernel.clock import SystemClock
from svc.kernel.identity import TokenVerifier
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.validation import parse
from tests.kernel.keys import Keys, token

INNER = "inner token"
SHAPES = ("Unary", "ServerStream", "ClientStream", "BidiStream")


def _service() -> Any:
    """A service with a method of each shape, and two unary ones for other callers."""
    file = descriptor_pb2.FileDescriptorProto(
        name="tests/kernel/shapes.proto",
        package="tests.kernel",
        dependency=[pb.DESCRIPTOR.name],
    )
    service = file.service.add(name="Shapes")
    for name in (*SHAPES, "Public", "Inner"):
        service.method.add(
            name=name,
            input_type=f".{pb.SendMessageRequest.DESCRIPTOR.full_name}",
            output_type=f".{pb.SendMessageResponse.DESCRIPTOR.full_name}",
            client_streaming=name in ("ClientStream", "BidiStream"),
            server_streaming=name in ("ServerStream", "BidiStream"),
        )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("tests.kernel.Shapes")


SERVICE = _service()


def said(content: str) -> pb.SendMessageResponse:
    return pb.SendMessageResponse(message_id=content)


@dataclass
class Shapes:
    """Answers what it hears; content decides what else happens."""

    closed: asyncio.Event = field(default_factory=asyncio.Event)
    waits: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[Call] = field(default_factory=list)

    async def _act(self, content: str, call: Call) -> None:
        self.calls.append(call)
        if content == "busy":
            raise errors.Busy("come back", retry_after=1.5)
        if content == "field":
            raise errors.NotFound("no such thing", field="message_id")
        if content == "bug":
            raise KeyError("a secret of the inside")
        if content == "hang":
            try:
                self.waits.set()
                await asyncio.Event().wait()
            finally:
                self.closed.set()

    async def Unary(self, request: pb.SendMessageRequest, call: Call) -> pb.SendMessageResponse | bytes:
        await self._act(request.content, call)
        return said("as bytes").SerializeToString() if request.content == "bytes" else said(request.content)

    Public = Inner = Unary

    async def ServerStream(self, request: pb.SendMessageRequest, call: Call) -> AsyncIterator[Any]:
        yield said("first")
        if request.content == "flood":
            try:
                while True:
                    yield said("x" * 100_000)
            finally:
                self.closed.set()
        await self._act(request.content, call)
        yield said(request.content).SerializeToString()

    async def ClientStream(self, frames: AsyncIterator[bytes], call: Call) -> pb.SendMessageResponse:
        contents = []
        async for raw in frames:
            contents.append(parse(pb.SendMessageRequest, raw).content)
            await self._act(contents[-1], call)
        return said(" ".join(contents))

    async def BidiStream(self, frames: AsyncIterator[bytes], call: Call) -> AsyncIterator[bytes]:
        async for raw in frames:
            content = parse(pb.SendMessageRequest, raw).content
            await self._act(content, call)
            yield said(content).SerializeToString()


@dataclass
class World:
    channel: grpc.aio.Channel
    servicer: Shapes
    keys: Keys
    limiter: RateLimiter

    def token(self, **claims: Any) -> str:
        return token(self.keys, SystemClock(), **claims)

    def open(self, method: str, *requests: bytes, metadata: tuple[tuple[str, str], ...] | None = None) -> Any:
        """Begin a call, by default of user u1."""
        if metadata is None:
            metadata = (("authorization", f"Bearer {self.token()}"),)
        name = f"/tests.kernel.Shapes/{method}"
        if method == "ServerStream":
            return self.channel.unary_stream(name)(requests[0], metadata=metadata, timeout=10)
        if method == "ClientStream":
            return self.channel.stream_unary(name)(iter(requests), metadata=metadata, timeout=10)
        if method == "BidiStream":
            return self.channel.stream_stream(name)(iter(requests), metadata=metadata, timeout=10)
        return self.channel.unary_unary(name)(requests[0], metadata=metadata, timeout=10)

    async def call(
        self, method: str, *contents: str | bytes, metadata: tuple[tuple[str, str], ...] | None = None
    ) -> list[str]:
        """What is answered. Raises the error that the answer tells of."""
        answers: list[str] = []
        requests = [content if isinstance(content, bytes) else ask(content) for content in contents]
        try:
            call = self.open(method, *requests, metadata=metadata)
            if method in ("ServerStream", "BidiStream"):
                await drain(call, answers)
            else:
                answers.append(pb.SendMessageResponse.FromString(await call).message_id)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        return answers


async def drain(call: Any, answers: list[str]) -> None:
    """Read a stream to its end."""
    async for raw in call:
        answers.append(pb.SendMessageResponse.FromString(raw).message_id)  # noqa: PERF401 - those before an error count


def ask(content: str) -> bytes:
    return pb.SendMessageRequest(to="u2", type="text", content=content).SerializeToString()


@asynccontextmanager
async def serving(rate: Rate) -> AsyncIterator[World]:
    """The service on a loopback port."""
    clock, keys, servicer = SystemClock(), Keys(), Shapes()
    limiter = RateLimiter(clock)
    access = Access(frozenset({"/tests.kernel.Shapes/Public"}), frozenset({"/tests.kernel.Shapes/Inner"}), INNER)
    chain = CallChain(TokenVerifier(keys.jwks, clock), access, limiter, rate, clock)
    server = grpc.aio.server(handlers=[handlers(chain, SERVICE, servicer)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield World(channel, servicer, keys, limiter)
    await server.stop(grace=None)
