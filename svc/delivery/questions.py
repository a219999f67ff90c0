"""Requests that nodes list because their answers may have been lost with the stream or the owner before (protocol S9)."""

import asyncio
from collections import deque
from collections.abc import Sequence

from svc.delivery.loader import Loader
from svc.delivery.model import Key, KeyRow
from svc.delivery.ports import MessageStore
from svc.delivery.retry import Retry
from svc.kernel import relay

_MOST_EARLY = 20_000


class Questions:
    """Answers those that are through already; the rest is answered as the log is read. A node asks as soon as it sees a claim,
    which may be before the claim's partition is held: then the answer waits for that."""

    def __init__(self, loader: Loader, store: MessageStore, retry: Retry) -> None:
        self._loader = loader
        self._store = store
        self._retry = retry
        self._asked: list[tuple[str, Sequence[relay.Unanswered]]] = []
        # Of partitions that are not held. Those that never will be go with the next that are; too many: the oldest go.
        self._early: deque[tuple[str, relay.Unanswered]] = deque(maxlen=_MOST_EARLY)
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """How many wait for their partition to be held."""
        return len(self._early)

    def ask(self, node: str, requests: Sequence[relay.Unanswered]) -> None:
        """A node lists requests."""
        if requests:
            self._asked.append((node, requests))
            self._wake.set()

    def taken(self) -> None:
        """Partitions are held that were not before."""
        early: dict[str, list[relay.Unanswered]] = {}
        for node, request in self._early:
            early.setdefault(node, []).append(request)
        self._early.clear()
        for node, requests in early.items():
            self.ask(node, requests)

    async def serve(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            asked, self._asked = self._asked, []
            for node, requests in asked:
                await self._answer(node, requests)

    async def _answer(self, node: str, requests: Sequence[relay.Unanswered]) -> None:
        # A key row alone says too little: its event may not be stored, and of a repeat only the verdict knows whether it asks
        # the same. Such a request waits, and is repeated.
        held = []
        for request in requests:
            if self._loader.holding(request.conversation_id) is not None:
                held.append(request)
            else:
                self._early.append((node, request))
        if not held:
            return
        keys = {r.request_id: Key(r.conversation_id, r.sender_id, r.client_message_id) for r in held}
        asked = sorted(set(keys.values()))
        rows = await self._retry.until_done("look up keys", lambda: self._store.keys(asked))
        for request in held:
            row = rows.get(keys[request.request_id])
            if row is not None and row.record_id == request.record_id and self._is_through(request, row):
                stored = relay.Outcome.STORED
                answer = relay.Answer(request.request_id, stored, row.seq, row.record_id, row.time_us)
                self._loader.hub.answer(node, answer)

    def _is_through(self, request: relay.Unanswered, row: KeyRow) -> bool:
        holding = self._loader.holding(request.conversation_id)
        return holding is not None and holding.sequencer.is_through(request.conversation_id, row.position)
