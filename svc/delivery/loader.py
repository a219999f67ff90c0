"""Waking conversations: for their next record, and for who subscribes to them (protocol T1, S3).

Each conversation is loaded once however many ask at a time, so a subscription and the next record see the same head. What
belongs to a partition that is given back meanwhile is not loaded; who asked is told so.
"""

import asyncio
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress

from svc.delivery.heads import HeadCache
from svc.delivery.holding import Holding
from svc.delivery.hub import Hub, NodeQueue
from svc.delivery.model import Slice
from svc.delivery.ports import MessageStore
from svc.delivery.retry import Retry
from svc.kernel.coordination import Coordination
from svc.kernel.eventlog import ACCEPTED, EventLog
from svc.kernel.relay import claim_of

CATCH_UP_SECONDS = 1.0
"""So long, once, who subscribes waits for a cache that may spare the store a read; then the store is read."""


class Loader:
    """Loads conversations into the sequencers of the partitions that are held, and acknowledges subscriptions."""

    def __init__(
        self,
        held: Mapping[int, Holding],
        coordination: Coordination,
        store: MessageStore,
        event_log: EventLog,
        retry: Retry,
    ) -> None:
        self._held = held
        self._coordination = coordination
        self._store = store
        self._log = event_log
        self._retry = retry
        self._loading: dict[str, asyncio.Future[None]] = {}
        self._wanted: set[str] = set()
        self._coming: set[int] = set()  # partitions
        self._waited_for: weakref.WeakSet[HeadCache] = weakref.WeakSet()
        self._wake = asyncio.Event()
        self.hub = Hub(self._claim_of, self.is_active)

    def holding(self, conversation_id: str) -> Holding | None:
        """What is held of a conversation's partition."""
        return self._held.get(self._partition_of(conversation_id))

    @contextmanager
    def coming(self, partitions: Collection[int]) -> Iterator[None]:
        """Partitions that are being claimed and taken: a node sees a claim before its partition is held, and who subscribes
        then waits until that is decided. Refused it would ask again, but only a quarter of a second later."""
        self._coming.update(partitions)
        try:
            yield
        finally:
            self._coming.difference_update(partitions)
            self._wanted.update(name for name in self.hub.waiting() if self._partition_of(name) in partitions)
            self._wake.set()

    def is_active(self, conversation_id: str) -> bool:
        """Whether a conversation is loaded."""
        holding = self.holding(conversation_id)
        return holding is not None and holding.sequencer.is_loaded(conversation_id)

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
            wanted -= await self._answer_from_cache(wanted)
            await self.load(wanted)
            for name in wanted:
                if not self.is_active(name) and self._partition_of(name) not in self._coming:
                    self.hub.refused(name)

    async def _answer_from_cache(self, conversation_ids: set[str]) -> set[str]:
        """Acknowledge those whose heads are surely known without loading them (S4); returns them."""
        asked: dict[HeadCache, list[str]] = {}
        for name in conversation_ids:
            holding = self.holding(name)
            if holding is not None and holding.heads is not None and not self.is_active(name):
                asked.setdefault(holding.heads, []).append(name)
        await self._wait_for(asked.keys() - self._waited_for)
        found = await asyncio.gather(*(heads.read(names) for heads, names in asked.items()))
        known = set()
        for heads, told in zip(asked, found, strict=True):
            for name, head in told.items():
                holding = self.holding(name)
                if holding is not None and holding.heads is heads:
                    self.hub.loaded(name, head)
                    self.hub.idle(name)  # whoever asked may have gone meanwhile
                    known.add(name)
        return known

    async def _wait_for(self, caches: Set[HeadCache]) -> None:
        # Whoever takes a partition over is asked for everything at once, moments before it can tell.
        self._waited_for.update(caches)
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                for heads in caches:
                    await heads.caught_up()

    async def load(self, conversation_ids: set[str]) -> None:
        """Return when all of them are loaded, but for those whose partition is not held (any more). Raises LogIncidentError."""
        missing = conversation_ids
        while missing:
            loading, absent = set(), set()
            for name in missing:
                if self.is_active(name):
                    self._acknowledge(name)
                elif name in self._loading:
                    loading.add(name)
                elif self.holding(name) is not None:
                    absent.add(name)
            waits = {self._loading[name] for name in loading}
            if absent:
                await self._load_now(absent)
            for wait in waits:
                await wait
            # What was loaded for a claim that was lost, or where its shard has left, is loaded for where it is now.
            missing = {name for name in loading | absent if not self.is_active(name) and self.holding(name) is not None}

    async def _load_now(self, conversation_ids: set[str]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loading |= dict.fromkeys(conversation_ids, done)
        try:
            held = {name: holding for name in conversation_ids if (holding := self.holding(name)) is not None}
            starts = {name: holding.sequencer.start_of(name) for name, holding in held.items()}
            slices = await self._retry.until_done("load", lambda: self._store.load(starts))
            await self._look_again(held, slices)
            for name, stored in slices.items():
                holding = self.holding(name)
                if holding is held[name]:
                    holding.sequencer.load(name, stored, holding.end)
                    self._acknowledge(name)
                    if holding.heads is not None:
                        holding.heads.loaded(name, stored.head.seq)
        except BaseException as error:
            done.set_exception(error)
            done.exception()  # whoever else waits may be gone already
            raise
        else:
            done.set_result(None)
        finally:
            for name in conversation_ids:
                del self._loading[name]

    async def _look_again(self, held: Mapping[str, Holding], slices: Mapping[str, Slice]) -> None:
        """Before a head counts as one that cannot be: the log may have grown, and the shard may have moved, since we looked."""
        heads = {
            name: (stored.head.position, held[name].sequencer.start_of(name).era) for name, stored in slices.items()
        }
        if any(position.era > era for position, era in heads.values()):
            await self._retry.until_done("read the map", self._coordination.read_shards)
        if any(position.era >= era and position.offset >= held[name].end for name, (position, era) in heads.items()):
            ends = await self._retry.until_done("read the log's end", lambda: self._log.end_offsets(ACCEPTED))
            for partition, holding in self._held.items():
                holding.end = max(holding.end, ends.get(partition, 0))

    def _partition_of(self, conversation_id: str) -> int:
        return self._coordination.shards.partition_of(conversation_id)

    def _claim_of(self, conversation_id: str) -> int:
        holding = self.holding(conversation_id)
        return (
            claim_of(holding.sequencer.start_of(conversation_id).era, holding.claim.number)
            if holding is not None
            else 0
        )

    def _acknowledge(self, conversation_id: str) -> None:
        holding = self.holding(conversation_id)
        if holding is not None:
            self.hub.loaded(conversation_id, holding.sequencer.head(conversation_id).seq)
