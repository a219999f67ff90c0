"""A device that comes and goes all the time, and looks up at once some of what it is pushed: it must be there already."""

import asyncio
import random
from collections import deque

import httpx
from google.protobuf import json_format

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Event
from stonechat_client.digest import digest
from tests.faults.clients import Account, StreamClient
from tests.faults.ledger import Ledger

_STAYS_SECONDS = 0.5
_LOOKS_UP = 0.1
_MAX_WAITING = 20


class StormyClient(StreamClient):
    """It sends nothing. `seed`: when it leaves, and what it looks up."""

    def __init__(self, url: str, account: Account, ledger: Ledger, seed: str) -> None:
        super().__init__(url, account, ledger)
        self.looked_up = 0
        """So many events were there when they were looked up."""
        self.calm = False
        """It stays from now on."""
        self._dice = random.Random(seed)
        self._to_look_up: deque[ConversationEvent] = deque()
        self._wake = asyncio.Event()

    async def __aenter__(self) -> "StormyClient":
        await super().__aenter__()
        self._tasks.append(asyncio.create_task(self._look_up()))
        return self

    async def _one_stream(self) -> None:
        stays = None if self.calm else self._dice.expovariate(1 / _STAYS_SECONDS)
        try:
            async with asyncio.timeout(stays):
                await super()._one_stream()
        except TimeoutError:
            self.answers["left"] += 1

    def _take(self, event: Event) -> None:
        super()._take(event)
        if not event.HasField("conversation_event") or self._dice.random() > _LOOKS_UP:
            return
        if len(self._to_look_up) < _MAX_WAITING:
            self._to_look_up.append(event.conversation_event)
            self._wake.set()

    async def _look_up(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._to_look_up:
                pushed = self._to_look_up.popleft()
                found = await self._stored(pushed)
                if found is None or digest(found) != digest(pushed):
                    place = f"{pushed.conversation_id} {pushed.seq}"
                    self.ledger.problem("different", f"{place} was pushed, and then {found} was there")
                self.looked_up += 1

    async def _stored(self, pushed: ConversationEvent) -> ConversationEvent | None:
        url = f"/v1/conversations/{pushed.conversation_id}/events"
        while True:
            try:
                answer = await self._http.get(url, params={"afterSeq": pushed.seq - 1, "limit": 1})
                page = json_format.Parse(answer.raise_for_status().content, history.ListEventsResponse())
            except httpx.HTTPError:
                await asyncio.sleep(0.05)  # it does not answer: that says nothing
                continue
            return page.events[0] if page.events and page.events[0].seq == pushed.seq else None
