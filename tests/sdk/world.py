"""A server that knows a message by its id for 24 hours, and a network that can break, as a queue sees them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.cache.memory import MemoryCache
from stonechat_client.cache.port import Cache
from stonechat_client.errors import CallFailed, ClientError
from stonechat_client.items import Delivered, Refused
from stonechat_client.send_queue import SendQueue

HOUR = 3600.0
UNAVAILABLE = CallFailed("UNAVAILABLE", "OUTCOME_UNKNOWN", "nobody knows")
EXHAUSTED = CallFailed("RESOURCE_EXHAUSTED", "RATE_LIMITED", "too fast", retry_after=0.001)


class World:
    """A server that knows a message by its id for 24 hours, a network that can break, and the device of one user."""

    def __init__(self, cache: Cache | None = None) -> None:
        self.cache = cache or MemoryCache()
        self.hours = 1000.0
        self.live = True
        self.hands_over = True
        """Whether events are handed over while the session is live."""
        self.stored: dict[str, list[ConversationEvent]] = defaultdict(list)
        self.script: dict[str, list[ClientError | str]] = defaultdict(list)
        """By content, what becomes of the next attempts: an error, "stored", "lost" (stored, and then an error), "stuck" (no
        answer) or "stored, stuck"."""
        self.told: list[Delivered | Refused] = []
        self.under_way: list[str] = []
        self.most_under_way = 0
        self.attempts: list[str] = []
        self._keys: dict[tuple[str, str], tuple[float, ConversationEvent]] = {}
        self._handed: dict[str, int] = defaultdict(int)
        self.queue = self.restart()

    def restart(self) -> SendQueue:
        self.queue = SendQueue(self.cache, self.send, self.told.append, lambda: self.live, lambda: self.hours * HOUR)
        return self.queue

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SendQueue]:
        task = asyncio.create_task(self.queue.run())
        try:
            yield self.queue
            if task.done():
                await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert self.under_way == [], "an attempt outlived its queue"

    async def send(self, to: str, content: str, client_message_id: str) -> Sent:
        self.under_way.append(to)
        self.attempts.append(content)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        assert len(set(self.under_way)) == len(self.under_way), "two under way to one destination"
        # Of this attempt, also if it is cut off before it gets there.
        fate = self.script[content].pop(0) if self.script[content] else "stored"
        try:
            for _ in range(3):  # there and back
                await asyncio.sleep(0)
            if isinstance(fate, ClientError):
                raise fate
            if fate == "stuck":
                await asyncio.Event().wait()
            event = self._store(to, content, client_message_id)
            if fate == "stored, stuck":
                await asyncio.Event().wait()
            if fate == "lost":
                raise UNAVAILABLE
            return Sent(message_id=event.message_id, status="sent", conversation_id=to, seq=event.seq)
        finally:
            self.under_way.remove(to)

    def _store(self, to: str, content: str, client_message_id: str) -> ConversationEvent:
        at, known = self._keys.get((to, client_message_id), (0.0, None))
        if known is not None and self.hours - at < 24.0:
            return known
        seq = len(self.stored[to]) + 1
        event = ConversationEvent(
            conversation_id=to,
            seq=seq,
            message_id=f"m{seq}.{seq}",
            client_message_id=client_message_id,
            message=Message(type="text", content=content),
        )
        self.stored[to].append(event)
        self._keys[to, client_message_id] = (self.hours, event)
        if self.live and self.hands_over:
            self.hand_over()
        return event

    def hand_over(self) -> None:
        """Hand over all that is stored and was not handed over before."""
        for to, events in self.stored.items():
            for event in events[self._handed[to] :]:
                self._handed[to] = event.seq
                self.queue.seen(event)

    def go_offline(self) -> None:
        self.live = False

    def go_live(self) -> None:
        """A new stream: what has no answer is said again, what was missed is pulled."""
        self.queue.reconnecting()
        self.hand_over()
        self.live = True
        self.queue.went_live()

    def contents(self, to: str) -> list[str]:
        return [event.message.content for event in self.stored[to]]
