"""A client whose user is made a member of a group and removed again, all the time: it notes when it was pushed what."""

import asyncio
import time
from contextlib import suppress

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event
from tests.faults.clients import Account, StreamClient
from tests.faults.follower import Follower
from tests.faults.ledger import Ledger


class _Visits(Follower):
    """Being told that a conversation is gone is no fault here."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.pushes: list[tuple[float, ConversationEvent]] = []

    def take(self, event: Event) -> None:
        if event.HasField("hello_page"):
            event.hello_page.ClearField("gone")
        if event.HasField("conversation_event"):
            self.pushes.append((time.monotonic(), event.conversation_event))
        super().take(event)


class Visitor(StreamClient):
    """Keeps its stream as long as it can."""

    STAYS_SECONDS: float | None = None

    def __init__(self, url: str, account: Account, ledger: Ledger) -> None:
        super().__init__(url, account, ledger)
        self.follower: _Visits = _Visits(ledger)

    def pushed(self, conversation_id: str) -> list[tuple[float, ConversationEvent]]:
        """When it was pushed which event of a conversation, in seconds of the monotonic clock."""
        return [(at, event) for at, event in self.follower.pushes if event.conversation_id == conversation_id]

    async def say(self, to: str, content: str, client_message_id: str) -> bool:
        """Try once to send; whether it was acknowledged. Who is no member is refused."""
        self.follower.means(client_message_id, content)
        try:
            code, sent = await self._try(to, content, client_message_id)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return False  # not this task: the call that it wrote to, by who reads from it
        self.answers[code] += 1
        if sent is not None:
            self.follower.acknowledged(sent.conversation_id, sent.seq, client_message_id, sent.message_id)
        return sent is not None

    async def _one_stream(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.STAYS_SECONDS):
                await super()._one_stream()


class RestlessVisitor(Visitor):
    """Connects again and again."""

    STAYS_SECONDS = 0.4
