"""One life of the stream `Connect`: a task that reads, a task that writes, and how it ends."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from stonechat.messaging.v1.event_pb2 import Event
from stonechat.messaging.v1.messaging_service_pb2 import ConnectRequest
from stonechat_client import wire
from stonechat_client.errors import NotReachable, from_rpc
from stonechat_client.requests import MAX_IN_FLIGHT

Handle = Callable[[Event], None]
# By then Hello must have been answered whole. A server that is half up may take a stream and never say anything on it.
GREETING_SECONDS = 60.0


class Stream:
    """A stream that was just opened. `call` is a `grpc.aio.StreamStreamCall` of bytes."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._outgoing: asyncio.Queue[ConnectRequest] = asyncio.Queue(4 * MAX_IN_FLIGHT)
        self._move = asyncio.Event()
        self._moving: asyncio.TimerHandle | None = None
        self._greeting: asyncio.TimerHandle | None = None
        self._broken = ""

    def write(self, frame: ConnectRequest) -> None:
        """Say a frame, after those before it. There is room for all that may be in flight, and for as much again that was
        cancelled meanwhile; a server that takes less than that is left."""
        try:
            self._outgoing.put_nowait(frame)
        except asyncio.QueueFull:
            self._break("the server takes nothing any more")

    def greeted(self) -> None:
        """Hello was answered whole."""
        if self._greeting is not None:
            self._greeting.cancel()

    def try_write(self, frame: ConnectRequest) -> None:
        """Say a frame that may be lost: it is, when too much waits already."""
        if self._outgoing.qsize() < MAX_IN_FLIGHT:
            self._outgoing.put_nowait(frame)

    async def run(self, handle: Handle) -> None:
        """Live: hand every event to `handle`, in order. Returns when the server asks to move, raises ClientError when the
        stream has broken. Either way it is closed."""
        reader = asyncio.create_task(self._read(handle), name="stonechat stream reader")
        writer = asyncio.create_task(self._write(), name="stonechat stream writer")
        mover = asyncio.create_task(self._move.wait(), name="stonechat stream mover")
        self._greeting = asyncio.get_running_loop().call_later(
            GREETING_SECONDS, self._break, "the server has not answered in time"
        )
        try:
            # A writer that fails says nothing new: the reader of the same call fails too, and knows why.
            await asyncio.wait((reader, mover), return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                await reader
            if self._broken:
                raise NotReachable(self._broken)
        finally:
            self._greeting.cancel()
            if self._moving is not None:
                self._moving.cancel()
            await _cancelled((reader, writer, mover))
            self._call.cancel()

    async def _read(self, handle: Handle) -> None:
        try:
            # No deadline here: one that passes would cancel the whole call.
            while (data := await self._call.read()) is not grpc.aio.EOF:
                for event in wire.decode(data).events:
                    if event.HasField("reconnect"):
                        self._move_after(event.reconnect.after_ms / 1000)
                    else:
                        handle(event)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error) from error
        raise NotReachable("the server ended the stream")

    def _move_after(self, seconds: float) -> None:
        if self._moving is None:  # asking once is enough
            self._moving = asyncio.get_running_loop().call_later(seconds, self._move.set)

    def _break(self, why: str) -> None:
        self._broken = why
        self._move.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._call.write(wire.encode(await self._outgoing.get()))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
