"""Pulls what is missing, conversation by conversation, until nothing is."""

import asyncio
from collections.abc import Callable

from stonechat.history.v1 import history_service_pb2 as history
from stonechat_client.backoff import Backoff
from stonechat_client.calls import Calls
from stonechat_client.errors import CallFailed, NotReachable, SignedOut
from stonechat_client.receiver import Receiver

_LIST_EVENTS = "/stonechat.history.v1.HistoryService/ListEvents"


class Puller:
    """`caught_up` is called whenever there is nothing left to pull."""

    def __init__(self, calls: Calls, receiver: Receiver, caught_up: Callable[[], None]) -> None:
        self._calls = calls
        self._receiver = receiver
        self._caught_up = caught_up

    async def run(self) -> None:
        """Pull for as long as the session lives. Raises SignedOut."""
        backoff = Backoff()
        while True:
            await self._receiver.missing.wait()
            self._receiver.missing.clear()
            try:
                await self._pull_all()
                backoff.reset()
            except SignedOut:
                raise
            except (NotReachable, CallFailed) as error:
                self._receiver.missing.set()
                asked = error.retry_after if isinstance(error, CallFailed) else None
                await asyncio.sleep(backoff.next_delay(asked))
            if not self._receiver.is_behind:
                self._caught_up()

    async def _pull_all(self) -> None:
        """Raises CallFailed for the first conversation that was refused, when the others were pulled. They wait for an inbox,
        though, which tells of them."""
        refused: CallFailed | None = None
        for conversation_id in self._receiver.to_pull():
            try:
                await self._pull(conversation_id)
            except CallFailed as error:
                if isinstance(error, SignedOut) or conversation_id.startswith("inbox."):
                    raise
                refused = refused or error
        if refused is not None:
            raise refused

    async def _pull(self, conversation_id: str) -> None:
        while (following := self._receiver.next_missing(conversation_id)) is not None:
            request = history.ListEventsRequest(conversation_id=conversation_id, after_seq=following - 1)
            try:
                answer = await self._calls.private(_LIST_EVENTS, request, history.ListEventsResponse)
            except CallFailed as error:
                if error.code != "NOT_FOUND":
                    raise
                self._receiver.lost(conversation_id, following - 1)
                continue
            await self._receiver.pulled(conversation_id, following - 1, answer)
