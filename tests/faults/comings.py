"""Who is made a member of a group and removed again, in a loop, and what may not reach them meanwhile."""

import asyncio
import itertools
import time
from dataclasses import dataclass, field

import httpx

from tests.faults.clients import EXCUSED, Account, list_events
from tests.faults.server import until
from tests.faults.visitor import Visitor

_PAUSE_SECONDS = 0.05
_MEMBER_SECONDS = 0.3
_LOOKS = 3


@dataclass
class Comings:
    """One visitor of a group, as its owner has it come and go. Every change is asked for until it is done, so each is one
    event."""

    http: httpx.AsyncClient
    owner: Account
    group_id: str
    visitor: Visitor
    asked_at: list[float] = field(default_factory=list)
    """When each coming was asked for, in seconds of the monotonic clock."""
    goings: list[int] = field(default_factory=list)
    """The seq of each removal, as the owner sees it."""
    pages_refused: int = 0
    refusals: int = 0
    late_sends: int = 0
    """Sends of the visitor that were accepted although the removal was there to be seen: by a node that heard of it later."""
    stopping: bool = False
    _read: int = 0

    async def run(self) -> None:
        """Until told to stop; ends with the visitor a member."""
        for number in itertools.count():
            self.asked_at.append(time.monotonic())
            await self._change("POST", f"/v1/groups/{self.group_id}/members", {"userIds": [self._user]})
            if self.stopping:
                return
            await self._write(f"in-{number}")
            await asyncio.sleep(_MEMBER_SECONDS)
            await self._change("DELETE", f"/v1/groups/{self.group_id}/members/{self._user}")
            self.goings.append(await until(self._gone, f"the removal of {self._user} is stored"))
            for _ in range(_LOOKS):
                await self._must_not_read()
            self.late_sends += await self._write(f"out-{number}")

    def check(self) -> None:
        """Raises AssertionError for what was pushed beyond a removal before the next coming was even asked for."""
        assert len(self.asked_at) == len(self.goings) + 1
        pushed = self.visitor.pushed(self.group_id)
        for gone, asked_at in zip(self.goings, self.asked_at[1:], strict=True):
            beyond = [event.seq for at, event in pushed if event.seq > gone and at < asked_at]
            assert not beyond, f"{self._user} was removed at {gone} and pushed {beyond}"

    @property
    def _user(self) -> str:
        return self.visitor.account.user_id

    async def _change(self, method: str, url: str, body: dict[str, object] | None = None) -> None:
        while True:
            try:
                answer = await self.http.request(method, url, json=body, headers=self.owner.header)
            except httpx.TransportError:
                answer = httpx.Response(503)
            if answer.status_code == 200:
                return
            assert answer.status_code in EXCUSED, answer.text
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _gone(self) -> int:
        """The seq of a removal that has not been read yet, 0 for none."""
        try:
            page = await list_events(self.http, self.owner, self.group_id, self._read)
        except httpx.HTTPError:
            return 0
        for event in page.events:
            self._read = event.seq
            if self._user in event.membership.left:
                return event.seq
        return 0

    async def _must_not_read(self) -> None:
        """Neither events, nor messages, nor that there is such a conversation."""
        for url in (f"/v1/conversations/{self.group_id}/events", f"/v1/messages/{self.group_id}", "/v1/conversations"):
            try:
                answer = await self.http.get(url, headers=self.visitor.account.header)
            except httpx.TransportError:
                continue
            self.pages_refused += answer.status_code == 404
            listed = answer.status_code == 200 and url == "/v1/conversations" and self.group_id not in answer.text
            assert listed or answer.status_code == 404 or answer.status_code in EXCUSED, f"{url}: {answer.text}"

    async def _write(self, client_message_id: str) -> bool:
        return await self.visitor.say(self.group_id, client_message_id, client_message_id)
