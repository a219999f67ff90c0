"""Frames of the stream that want an answer. They outlive the stream: what has none yet is said again on the next one."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from stonechat.messaging.v1.event_pb2 import Result
from stonechat.messaging.v1.messaging_service_pb2 import ConnectRequest
from stonechat_client.backoff import Backoff
from stonechat_client.errors import CallFailed, NotReachable, from_status
from stonechat_client.rules import check

Write = Callable[[ConnectRequest], None]
MAX_IN_FLIGHT = 64
REPEATABLE_SECONDS = 23 * 3600.0
"""For so long after it was first said a frame may be said again. A server knows it by its id for 24 hours."""


@dataclass(slots=True)
class _Waiting:
    frame: ConnectRequest
    repeat: bool
    since: float  # when it was first said, seconds since 1970: the machine may sleep meanwhile
    future: asyncio.Future[Result]


class Requests:
    """At most 64 frames wait for their answers; whoever asks more waits for a turn."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._waiting: dict[int, _Waiting] = {}
        self._newest = 0
        self._write: Write | None = None
        self._ended: BaseException | None = None

    async def ask(self, frame: ConnectRequest) -> Result:
        """Say a frame, which must be one that may be repeated, and return its answer.

        Says it again on each new stream, and after an UNAVAILABLE. Raises CallFailed; waits for as long as it takes, up to 23
        hours: then the reason is OUTCOME_UNKNOWN. When it is cancelled, whether the frame had its effect is unknown too.
        """
        backoff, since = Backoff(), time.time()
        while True:
            try:
                return await self._ask(frame, True, since)
            except CallFailed as error:
                if not error.transient or _is_too_old(since):
                    raise
                await asyncio.sleep(backoff.next_delay(error.retry_after))

    async def ask_once(self, frame: ConnectRequest) -> Result:
        """Say a frame on this stream only. Raises CallFailed, and NotReachable when there is no stream or it breaks."""
        if self._write is None:
            raise NotReachable("not connected")
        return await self._ask(frame, False, time.time())

    async def _ask(self, frame: ConnectRequest, repeat: bool, since: float) -> Result:
        check(frame)
        async with self._turns:
            if self._ended is not None:
                raise self._ended
            self._newest += 1
            frame.request_id = number = self._newest
            future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            self._waiting[number] = _Waiting(frame, repeat, since, future)
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
        if waiting is not None and not waiting.future.done():
            waiting.future.set_result(result)

    def begin(self, write: Write) -> None:
        """There is a new stream: say on it what has no answer yet, in the old order, and from now on everything. What is too
        old to be repeated ends."""
        self._write = write
        for waiting in self._waiting.values():
            if waiting.future.done():
                continue
            if _is_too_old(waiting.since):
                text = "not acknowledged within 23 hours: whether it was done is unknown"
                waiting.future.set_exception(CallFailed("UNAVAILABLE", "OUTCOME_UNKNOWN", text))
            else:
                write(waiting.frame)

    def pause(self) -> None:
        """The stream is gone."""
        self._write = None
        for waiting in self._waiting.values():
            if not waiting.repeat and not waiting.future.done():
                waiting.future.set_exception(NotReachable("the connection was lost"))

    def end(self, error: BaseException) -> None:
        """There will be no other stream: everybody gets this error."""
        self._write, self._ended = None, error
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(error)


def _is_too_old(since: float) -> bool:
    return time.time() - since >= REPEATABLE_SECONDS
