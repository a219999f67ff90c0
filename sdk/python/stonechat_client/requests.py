"""Frames of the stream that want an answer. They outlive the stream: what has none yet is said again on the next one."""

import asyncio
from collections.abc import Callable

from stonechat.messaging.v1.event_pb2 import Result
from stonechat.messaging.v1.messaging_service_pb2 import ConnectRequest
from stonechat_client.backoff import Backoff
from stonechat_client.errors import CallFailed, NotReachable, from_status
from stonechat_client.rules import check

Write = Callable[[ConnectRequest], None]
MAX_IN_FLIGHT = 64


class Requests:
    """At most 64 frames wait for their answers; whoever asks more waits for a turn."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._waiting: dict[int, tuple[ConnectRequest, bool, asyncio.Future[Result]]] = {}
        self._newest = 0
        self._write: Write | None = None
        self._ended: BaseException | None = None

    async def ask(self, frame: ConnectRequest) -> Result:
        """Say a frame, which must be one that may be repeated, and return its answer.

        Says it again on each new stream, and after an UNAVAILABLE. Raises CallFailed; waits for as long as it takes. When it
        is cancelled, whether the frame had its effect is unknown.
        """
        backoff = Backoff()
        while True:
            try:
                return await self._ask(frame, repeat=True)
            except CallFailed as error:
                if not error.transient:
                    raise
                await asyncio.sleep(max(backoff.next_delay(), error.retry_after or 0.0))

    async def ask_once(self, frame: ConnectRequest) -> Result:
        """Say a frame on this stream only. Raises CallFailed, and NotReachable when there is no stream or it breaks."""
        if self._write is None:
            raise NotReachable("not connected")
        return await self._ask(frame, repeat=False)

    async def _ask(self, frame: ConnectRequest, repeat: bool) -> Result:
        check(frame)
        async with self._turns:
            if self._ended is not None:
                raise self._ended
            self._newest += 1
            frame.request_id = number = self._newest
            future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            self._waiting[number] = (frame, repeat, future)
            try:
                if self._write is not None:
                    self._write(frame)
                result = await future
            finally:
                del self._waiting[number]
        if result.HasField("error"):
            raise from_status(result.error)
        return result

    def answered(self, result: Result) -> None:
        """The answer to a frame; one that nobody waits for any more is ignored."""
        waiting = self._waiting.get(result.request_id)
        if waiting is not None and not waiting[2].done():
            waiting[2].set_result(result)

    def begin(self, write: Write) -> None:
        """There is a new stream: say on it what has no answer yet, in the old order, and from now on everything."""
        self._write = write
        for frame, _, future in self._waiting.values():
            if not future.done():
                write(frame)

    def pause(self) -> None:
        """The stream is gone."""
        self._write = None
        for _, repeat, future in self._waiting.values():
            if not repeat and not future.done():
                future.set_exception(NotReachable("the connection was lost"))

    def end(self, error: BaseException) -> None:
        """There will be no other stream: everybody gets this error."""
        self._write, self._ended = None, error
        for _, _, future in self._waiting.values():
            if not future.done():
                future.set_exception(error)
