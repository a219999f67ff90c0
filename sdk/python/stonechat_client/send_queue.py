"""Messages that are sent when there is a connection: kept until they are acknowledged, also over restarts of the program."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Sent
from stonechat.messaging.v1.messaging_service_pb2 import SendMessageRequest
from stonechat_client.backoff import Backoff
from stonechat_client.cache.port import Cache, Queued
from stonechat_client.errors import CallFailed, ClientError, InvalidRequest, QueueFull
from stonechat_client.items import Delivered, Refused
from stonechat_client.requests import REPEATABLE_SECONDS
from stonechat_client.rules import check

MOST = 10_000
"""Messages that may wait."""
AT_A_TIME = 16
"""Destinations that are served at a time, with one message each."""
ANSWER_SECONDS = 10.0
"""For so long an answer may come after the message's own event; then the event is the answer."""

Send = Callable[[str, str, str], Awaitable[Sent]]
"""`to`, content, client_message_id. Repeats over breaks by itself. Cancelled: the outcome is unknown."""
Tell = Callable[[Delivered | Refused], None]

# The server has understood the message and will never take it. All else says nothing about the message.
_FOR_GOOD = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "FAILED_PRECONDITION",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
    }
)


@dataclass(slots=True)
class _Entry:
    message: Queued
    said_at: float
    """Since when it may have reached a server, seconds since 1970."""
    seen: Sent | None = None
    """The place in which its event was seen."""
    attempt: asyncio.Future[Sent] | None = None


class SendQueue:
    """The queue of one session: in order for each destination, one at a time there, 16 destinations at a time.

    A message leaves it with an answer, or when its own event is seen; that is told once. Until then it is repeated, for ever if
    need be. One that may have reached a server more than 23 hours ago waits until the session is live and everything that is
    stored was seen; if it was not among that, it is said again.
    """

    def __init__(
        self, cache: Cache, send: Send, tell: Tell, is_live: Callable[[], bool], now: Callable[[], float] = time.time
    ) -> None:
        self._cache = cache
        self._send = send
        self._tell = tell
        self._is_live = is_live
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._lines: dict[str, deque[_Entry]] = {}  # by destination; none is empty
        self._ready: asyncio.Queue[str] = asyncio.Queue()  # destinations of which nobody sends a message
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self._news = asyncio.Event()
        for message in cache.queued():
            # What was told to the disk of the first attempt may be lost with the power; it was not before this.
            self._append(_Entry(message, message.tried_at or message.queued_at))

    def put(self, to: str, content: str, client_message_id: str = "") -> str:
        """Queue a message; returns its client_message_id, a new one if none is given. It is kept from now on. Putting the same
        in twice changes nothing. Raises InvalidRequest for what the contract forbids, QueueFull, and OSError when it cannot
        be kept."""
        name = client_message_id or uuid.uuid4().hex
        check(SendMessageRequest(to=to, content=content, type="text", client_message_id=name))
        known = self._entries.get(name)
        if known is not None:
            if (known.message.to, known.message.content) != (to, content):
                raise InvalidRequest("client_message_id", "names another message that waits")
            return name
        if len(self._entries) >= MOST:
            raise QueueFull(f"{MOST:,} messages wait already")
        message = Queued(name, to, content, self._now())
        self._cache.enqueue(message)
        self._append(_Entry(message, 0.0))
        return name

    def waiting(self) -> Sequence[Queued]:
        """Messages of which nothing was told yet, in the order in which they were put in."""
        return [entry.message for entry in self._entries.values()]

    def seen(self, event: ConversationEvent) -> None:
        """An event of this user is handed over: it is stored, and need not be kept here any more."""
        entry = self._entries.get(event.client_message_id)
        if entry is not None and entry.seen is None and event.HasField("message"):
            entry.seen = Sent(
                message_id=event.message_id,
                status="sent",
                conversation_id=event.conversation_id,
                seq=event.seq,
                timestamp=event.timestamp,
            )
            self._cache.dequeue(event.client_message_id)
            if entry.attempt is not None:
                asyncio.get_running_loop().call_later(ANSWER_SECONDS, entry.attempt.cancel)
            self._wake()

    def went_live(self) -> None:
        """Everything that is stored was handed over."""
        self._wake()

    def reconnecting(self) -> None:
        """A stream is about to repeat what has no answer. What may not be repeated blindly any more is taken out of it: no
        timer says so in time when the device has slept."""
        for entry in self._entries.values():
            if entry.attempt is not None and not self._is_repeatable(entry):
                entry.attempt.cancel()

    async def run(self) -> None:
        """Send until cancelled. Raises OSError when the cache cannot be written."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._turns.acquire()
                    group.create_task(self._send_next(await self._ready.get()), name="stonechat queued message")
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _append(self, entry: _Entry) -> None:
        self._entries[entry.message.client_message_id] = entry
        line = self._lines.setdefault(entry.message.to, deque())
        line.append(entry)
        if len(line) == 1:
            self._ready.put_nowait(entry.message.to)

    async def _send_next(self, to: str) -> None:
        line = self._lines[to]
        entry = line[0]
        outcome = await self._outcome(entry)
        self._cache.dequeue(entry.message.client_message_id)
        del self._entries[entry.message.client_message_id]
        line.popleft()
        if line:
            self._ready.put_nowait(to)
        else:
            del self._lines[to]
        self._turns.release()
        self._tell(outcome)

    async def _outcome(self, entry: _Entry) -> Delivered | Refused:
        name, backoff = entry.message.client_message_id, Backoff()
        while True:
            await self._until_it_may_be_said(entry)
            if entry.seen is not None:
                return Delivered(name, entry.seen)
            try:
                sent = await self._attempt(entry)
            except ClientError as error:
                if entry.seen is not None:
                    return Delivered(name, entry.seen)
                if _is_final(error):
                    return Refused(name, error)
                asked = error.retry_after if isinstance(error, CallFailed) else None
                await asyncio.sleep(backoff.next_delay(asked))
            else:
                if sent is not None:
                    return Delivered(name, sent)

    async def _until_it_may_be_said(self, entry: _Entry) -> None:
        if not entry.said_at:
            entry.said_at = self._now()
            self._cache.tried(entry.message.client_message_id, entry.said_at)
        while not self._is_repeatable(entry) and entry.seen is None:
            if self._is_live():
                # Had it been stored, its event would have been seen: it begins anew.
                entry.said_at = self._now()
                return
            await self._news.wait()

    async def _attempt(self, entry: _Entry) -> Sent | None:
        """None when it was cut off because it may not be repeated blindly any more."""
        message = entry.message
        left = entry.said_at + REPEATABLE_SECONDS - self._now()
        entry.attempt = asyncio.ensure_future(self._send(message.to, message.content, message.client_message_id))
        try:
            await asyncio.wait((entry.attempt,), timeout=left)
            if not entry.attempt.done() or entry.attempt.cancelled():
                return None
            return entry.attempt.result()
        finally:
            entry.attempt.cancel()
            await asyncio.gather(entry.attempt, return_exceptions=True)
            entry.attempt = None

    def _is_repeatable(self, entry: _Entry) -> bool:
        # A clock that was set back says nothing about how long ago it was.
        return 0.0 <= self._now() - entry.said_at < REPEATABLE_SECONDS

    def _wake(self) -> None:
        """Wake all who wait now; whoever waits later waits for the next time."""
        self._news.set()
        self._news = asyncio.Event()


def _is_final(error: ClientError) -> bool:
    return error.code in _FOR_GOOD if isinstance(error, CallFailed) else isinstance(error, InvalidRequest)
