"""Waking conversations: for their next record, and for who subscribes to them (protocol T1, S3).

Each conversation is loaded once however many ask at a time, so a subscription and the next record see the same head.
"""

import asyncio
from collections.abc import Sequence

from svc.delivery.hub import Hub, NodeQueue
from svc.delivery.model import Position
from svc.delivery.ports import MessageStore
from svc.delivery.retry import Retry
from svc.delivery.sequencer import Sequencer
from svc.kernel.eventlog import ACCEPTED, EventLog
from svc.kernel.shards import Shards


class Loader:
    """Loads conversations into the sequencers of a claim, and acknowledges subscriptions."""

    def __init__(
        self,
        sequencers: dict[int, Sequencer],
        ends: dict[int, int],
        shards: Shards,
        store: MessageStore,
        event_log: EventLog,
        retry: Retry,
    ) -> None:
        self._sequencers = sequencers
        self._ends = ends
        self._shards = shards
        self._store = store
        self._log = event_log
        self._retry = retry
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._wanted: set[str] = set()
        self._wake = asyncio.Event()
        self.hub = Hub(0, self.is_active)

    def sequencer(self, conversation_id: str) -> Sequencer:
        """The sequencer of a conversation's partition. KeyError when that is not ours."""
        return self._sequencers[self._shards.shards.partition_of(conversation_id)]

    def is_here(self, conversation_id: str) -> bool:
        """Whether this claim holds the conversation's partition."""
        return self._shards.shards.partition_of(conversation_id) in self._sequencers

    def is_active(self, conversation_id: str) -> bool:
        """Whether a conversation is loaded."""
        return self.is_here(conversation_id) and self.sequencer(conversation_id).is_loaded(conversation_id)

    def subscribe(self, queue: NodeQueue, conversation_ids: Sequence[str]) -> None:
        """Subscribe a node. Conversations that are not loaded are acknowledged when they are."""
        self._wanted.update(self.hub.subscribe(queue, conversation_ids))
        self._wake.set()

    async def serve_subscriptions(self) -> None:
        """Load what subscriptions wait for, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            wanted, self._wanted = self._wanted, set()
            for conversation_id in [name for name in wanted if not self.is_here(name)]:
                wanted.discard(conversation_id)
                self.hub.refused(conversation_id)
            await self.load(wanted)

    async def load(self, conversation_ids: set[str]) -> None:
        """Return when all of them are loaded. Raises LogIncidentError."""
        waits = {self._loading[name] for name in conversation_ids if name in self._loading}
        absent = set()
        for name in conversation_ids:
            if self.is_active(name):
                self._acknowledge(name)
            elif name not in self._loading:
                absent.add(name)
        if absent:
            await self._load_now(absent)
        for wait in waits:
            await wait

    async def _load_now(self, conversation_ids: set[str]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loading |= dict.fromkeys(conversation_ids, done)
        try:
            starts = {name: self.sequencer(name).start for name in conversation_ids}
            slices = await self._retry.until_done("load", lambda: self._store.load(starts))
            if any(self._is_beyond(name, stored.head.position) for name, stored in slices.items()):
                ends = await self._retry.until_done("read the log's end", lambda: self._log.end_offsets(ACCEPTED))
                self._ends.update(ends)
            for name, stored in slices.items():
                self.sequencer(name).load(name, stored, self._ends.get(self._shards.shards.partition_of(name), 0))
                self._acknowledge(name)
        except BaseException as error:
            done.set_exception(error)
            done.exception()  # whoever else waits may be gone already
            raise
        else:
            done.set_result(None)
        finally:
            for name in conversation_ids:
                del self._loading[name]

    def _acknowledge(self, conversation_id: str) -> None:
        head = self.sequencer(conversation_id).head(conversation_id)
        self.hub.loaded(conversation_id, head.seq)

    def _is_beyond(self, conversation_id: str, position: Position) -> bool:
        end = self._ends.get(self._shards.shards.partition_of(conversation_id), 0)
        return position.era == self.sequencer(conversation_id).era and position.offset >= end
