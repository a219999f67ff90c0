"""Stand between the suite and a good server, and break one promise: for gRPC message by message, for HTTP/1.1 byte by byte."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc.status_pb2 import Status

DETAILS = "grpc-status-details-bin"
Metadata = list[tuple[str, Any]]


@dataclass
class End:
    """How a call ends that is refused."""

    code: grpc.StatusCode
    message: str
    details: Status | None


def _same(method: str, value: Any) -> Any:
    return value


def _as_it_is(method: str, raw: bytes) -> Iterator[bytes]:
    yield raw


@dataclass
class Breach:
    """What is done to calls on their way; `method` is the rpc's name. Nothing by default.

    `answers` may yield none or several. `end` may return None: then the call never ends. `unknown` are rpcs that the server of
    this version does not have, `stuck` rpcs that it never answers.
    """

    metadata: Callable[[str, Metadata], Metadata] = _same
    request: Callable[[str, bytes], bytes] = _same
    answers: Callable[[str, bytes], Iterator[bytes]] = _as_it_is
    end: Callable[[str, End], End | None] = _same
    unknown: Sequence[str] = ()
    stuck: Sequence[str] = ()


class _Relay(grpc.GenericRpcHandler):
    def __init__(self, channel: grpc.aio.Channel, breach: Breach) -> None:
        self._channel = channel
        self._breach = breach

    def service(self, details: Any) -> Any:
        if details.method.rpartition("/")[2] in self._breach.unknown:
            return None

        async def relay(requests: AsyncIterator[bytes], context: Any) -> None:
            await self._relay(details.method, requests, context)

        # On the wire all shapes of a call are streams of bytes.
        return grpc.stream_stream_rpc_method_handler(relay)

    async def _relay(self, path: str, requests: AsyncIterator[bytes], context: Any) -> None:
        method = path.rpartition("/")[2]
        breach = self._breach
        if method in breach.stuck:
            await asyncio.Event().wait()
        sent = [(key, value) for key, value in context.invocation_metadata() if not _of_transport(key)]

        metadata = breach.metadata(method, sent)
        writing: asyncio.Task[None] | None = None
        call: Any
        if method == "Connect":
            call = self._channel.stream_stream(path)(metadata=metadata)
        else:
            call = self._channel.unary_stream(path)(breach.request(method, await anext(requests)), metadata=metadata)

        async def write() -> None:
            async for raw in requests:
                await call.write(breach.request(method, raw))
            await call.done_writing()

        try:
            await call.initial_metadata()
            if not call.done():  # to write to a stream that was refused would hide why
                await context.send_initial_metadata(())
                writing = asyncio.create_task(write()) if method == "Connect" else None
            async for raw in call:
                for answer in breach.answers(method, raw):
                    await context.write(answer)
        except grpc.aio.AioRpcError as error:
            found = dict((*(error.initial_metadata() or ()), *(error.trailing_metadata() or ())))
            details = Status.FromString(found[DETAILS]) if DETAILS in found else None
            end = breach.end(method, End(error.code(), error.details() or "", details))
            if end is None:
                await asyncio.Event().wait()
            else:
                trailing = ((DETAILS, end.details.SerializeToString()),) if end.details else ()
                await context.abort(end.code, end.message, trailing_metadata=trailing)
        finally:
            call.cancel()
            if writing:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)


def _of_transport(key: str) -> bool:
    return key.startswith((":", "grpc-")) or key in ("user-agent", "te", "content-type", "host")


@asynccontextmanager
async def grpc_proxy(url: str, breach: Breach) -> AsyncIterator[str]:
    """The URL of a server that is the one at `url`, but for the breach. It speaks native gRPC only."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(url.removeprefix("http://"), options=options) as channel:
        server = grpc.aio.server(handlers=[_Relay(channel, breach)], options=[("grpc.so_reuseport", 0)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            await server.stop(None)


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """The URL of a TCP server that does this with each connection."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def byte_proxy(url: str, *swaps: tuple[bytes, bytes], tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The URL of a server that is the one at `url`, but that some bytes of what it says are others (as many)."""
    host, _, port = url.removeprefix("http://").rpartition(":")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))

        async def forward() -> None:
            while data := await reader.read(65536):
                upstream_writer.write(data)
                await upstream_writer.drain()
            upstream_writer.close()

        forwarding = asyncio.create_task(forward())
        try:
            while data := await upstream_reader.read(65536):
                for old, new in swaps:
                    assert len(old) == len(new)
                    data = data.replace(old, new)
                writer.write(data)
                await writer.drain()
        finally:
            forwarding.cancel()
            upstream_writer.close()

    async with listening(serve, tls) as proxied:
        yield proxied
