"""The owner of partitions: reads the log in order, and takes each record through all steps (protocol L, T, W).

A round: fetch what has arrived → load and look up → decide → store → relay and answer; then, while the next rounds are under
way, announce → commit (finisher.py). A back end that fails decides nothing: the step is repeated until it succeeds.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

from svc.delivery.finisher import Finisher
from svc.delivery.heads import HeadCache
from svc.delivery.holding import Holding
from svc.delivery.hub import Hub
from svc.delivery.incidents import group_of
from svc.delivery.judge import Judge
from svc.delivery.loader import Loader
from svc.delivery.model import Event, LogIncidentError
from svc.delivery.ports import Encoder, Heads, MessageStore
from svc.delivery.questions import Questions
from svc.delivery.retry import Retry
from svc.delivery.rounds import Round, waves
from svc.delivery.sequencer import Sequencer
from svc.kernel import relay, telemetry
from svc.kernel.clock import Clock
from svc.kernel.coordination import Claim, Coordination
from svc.kernel.errors import Transient
from svc.kernel.eventlog import ACCEPTED, Consumer, EventLog, LoggedEntry
from svc.kernel.lifecycle import owned
from svc.kernel.pace import Pace
from svc.kernel.record import Kind
from svc.kernel.shards import ShardMap

log = logging.getLogger(__name__)

ROUND_RECORDS = 500
STALL_SECONDS = 30.0
RECOMMIT_SECONDS = 3600.0
# Above this rate rounds begin at most every PACE_SECONDS: a record that travels alone costs five times one of ten.
PACE_FROM_PER_SECOND = 300.0
PACE_SECONDS = 0.004


class StalledError(Exception):
    """Records wait, the back ends answer, and still nothing was committed (O2): start over from what is stored."""


class Owner:
    """The partitions of one instance: they come (`take`) and go (`give`, `drop`) while it runs, in one loop, on one consumer.
    All of it belongs to one incident of the log; after another one, or a failure, make a new owner."""

    def __init__(
        self,
        event_log: EventLog,
        store: MessageStore,
        encoder: Encoder,
        clock: Clock,
        tracer: telemetry.Tracer,
        coordination: Coordination,
        heads: Heads | None = None,
    ) -> None:
        self._log = event_log
        self._store = store
        self._encoder = encoder
        self._clock = clock
        self._tracer = tracer
        self._coordination = coordination
        self._heads = heads
        self.incident = coordination.shards.incident
        self._held: dict[int, Holding] = {}
        self._map_version = coordination.shards.version
        self._retry = Retry(clock)
        self.loader = Loader(self._held, coordination, store, event_log, self._retry)
        self._judge = Judge(self._held, coordination, self.loader, store, encoder, self._retry)
        self._finisher = Finisher(event_log, encoder, clock, coordination, self._retry, self.incident)
        self._pace = Pace(clock, PACE_FROM_PER_SECOND, PACE_SECONDS)
        self._consumer: Consumer | None = None
        self._taking = asyncio.Lock()  # a partition that is read has the holding it is read for, or none
        self._rounds_done = asyncio.Event()
        self._rounds_done.set()
        self._behind = False
        self.questions = Questions(self.loader, store, self._retry)

    @property
    def hub(self) -> Hub:
        """The subscriptions of its nodes."""
        return self.loader.hub

    @property
    def claims(self) -> Mapping[int, Claim]:
        """Partition → the claim that it is held by."""
        return {partition: holding.claim for partition, holding in self._held.items()}

    # Partitions come and go (T1, T4, O3, O4)

    async def take(self, claims: Sequence[Claim]) -> None:
        """Take partitions over: read each from where everything below is through. Raises LogIncidentError, Unavailable: nothing
        was taken then."""
        shards = await self._coordination.read_shards()
        if shards.incident != self.incident:
            raise LogIncidentError("another incident of the log was told meanwhile")
        committed = await self._log.committed(group_of(self.incident), ACCEPTED)
        ends = await self._log.end_offsets(ACCEPTED)
        async with self._taking:
            try:
                await self._read([self._begin(claim, shards, committed, ends) for claim in claims])
            except BaseException:
                for claim in claims:
                    self.drop(claim.partition)
                raise
        self.questions.taken()
        telemetry.PARTITIONS.set(len(self._held))

    def _begin(self, claim: Claim, shards: ShardMap, committed: Mapping[int, int], ends: Mapping[int, int]) -> Holding:
        partition = claim.partition
        through, end = committed.get(partition, 0), ends.get(partition, 0)
        if through > end:
            raise LogIncidentError(f"partition {partition}: committed up to {through}, but the log ends before that")
        # So that the fence of a move is read by every owner while the move is under way (G1).
        since = [move.since for move in shards.moves.values() if move.source == partition]
        holding = Holding(claim, Sequencer(self._era_of, through), through, min([through, *since]), end)
        if self._heads is not None:
            holding.heads = HeadCache(self._heads, f"{self.incident}.{partition}", self._era_of, through, end)
        self._held[partition] = holding
        self._finisher.begin(holding)
        return holding

    async def _read(self, taken: Sequence[Holding]) -> None:
        # What was lost meanwhile must not be read on: taken again, it would be judged from where this one was read to.
        for holding in taken:
            partition = holding.claim.partition
            if self._consumer is None or self._held.get(partition) is not holding:
                continue
            try:
                await self._consumer.take(partition, holding.read_from)
            finally:
                if self._held.get(partition) is not holding and self._consumer is not None:
                    self._consumer.drop(partition)

    async def give(self, partition: int) -> None:
        """Read a partition no more, take what was read through all its steps, and let it go: whoever takes it next goes on from
        there. A partition that is not held is given already."""
        holding = self._held.get(partition)
        if holding is None:
            return
        if self._consumer is not None:
            self._consumer.drop(partition)
        await self._rounds_done.wait()
        await self._finisher.caught_up()
        if self._held.get(partition) is holding:
            self.drop(partition)

    def drop(self, partition: int) -> None:
        """A partition is somebody else's: relay and answer nothing of it any more. A single step."""
        if self._held.pop(partition, None) is None:
            return
        if self._consumer is not None:
            self._consumer.drop(partition)
        self._finisher.drop(partition)
        self.hub.gave(lambda name: self.loader.holding(name) is None)
        telemetry.PARTITIONS.set(len(self._held))

    def map_changed(self) -> None:
        """Shards have moved, or begun to: who subscribed to what left is told, what was held back may go."""
        self.hub.gave(lambda name: self.loader.holding(name) is None)
        self._finisher.look_again()

    async def run(self) -> None:
        """Serve until cancelled. Raises LogIncidentError, StalledError, Unavailable (the log cannot be read)."""
        async with self._taking:
            starts = {partition: holding.read_from for partition, holding in self._held.items()}
            self._consumer = consumer = await self._log.consume(ACCEPTED, starts)
            for partition in starts.keys() - self._held.keys():
                consumer.drop(partition)
        try:
            async with AsyncExitStack() as stack:
                failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                fail = _failing(failed)
                await stack.enter_async_context(
                    owned(self.loader.serve_subscriptions(), "delivery subscriptions", fail)
                )
                await stack.enter_async_context(owned(self.questions.serve(), "delivery questions", fail))
                await stack.enter_async_context(owned(self._watch(consumer), "delivery watch", fail))
                await stack.enter_async_context(owned(self._finisher.run(), "delivery finisher", fail))
                await stack.enter_async_context(owned(self._serve_rounds(consumer), "delivery rounds", fail))
                await failed
        finally:
            self._consumer = None
            self._held.clear()
            self.hub.close_all()
            await consumer.close()

    def _era_of(self, conversation_id: str) -> int:
        # Of our incident, whatever the newest map says of the next one.
        shards = self._coordination.shards
        return self.incident + shards.era_of(conversation_id) - shards.incident

    # Rounds

    async def _serve_rounds(self, consumer: Consumer) -> None:
        while True:
            await self._pace.wait()
            entries = await consumer.fetch(ROUND_RECORDS)
            self._rounds_done.clear()
            self._pace.ran(len(entries))
            self._behind = True
            await self.round(entries)
            self._behind = consumer.lag() > 0
            self._rounds_done.set()

    async def round(self, entries: Sequence[LoggedEntry]) -> None:
        """Take one batch through judging, storing and relaying; leave announcing and committing to the finisher."""
        self._remap()
        began_ns = self._clock.now_us() * 1000
        result = await self._judge.judge(entries)
        ordered_ns = self._clock.now_us() * 1000
        events = result.events()
        for wave in waves(events):
            await self._retry.until_done("store", lambda wave=wave: self._store.write(wave))  # type: ignore[misc]
        withdrawn = await self._withdrawn(events)
        stored_ns = self._clock.now_us() * 1000
        self._hand_out(result, withdrawn, (began_ns, ordered_ns, stored_ns))
        for holding in self._held.values():
            if holding in result.next_offsets:
                holding.sequencer.advanced(result.next_offsets[holding])
            for conversation_id in holding.sequencer.settled():
                self.hub.idle(conversation_id)
        telemetry.ROUNDS.inc()
        telemetry.ROUND_SECONDS.labels("judge").observe((ordered_ns - began_ns) / 1e9)
        telemetry.ROUND_SECONDS.labels("store").observe((stored_ns - ordered_ns) / 1e9)
        await self._finisher.put(result)

    def _remap(self) -> None:
        """Forget what has left a partition since the round before; not while a batch is judged."""
        shards = self._coordination.shards
        if shards.version == self._map_version:
            return
        self._map_version = shards.version
        for partition, holding in self._held.items():
            holding.sequencer.forget(lambda name, here=partition: shards.partition_of(name) != here)  # type: ignore[misc]
            for shard in [shard for shard in holding.fences if shard not in shards.moves]:
                del holding.fences[shard]

    async def _withdrawn(self, events: Iterable[Event]) -> set[tuple[str, int]]:
        # An edit that was accepted late must not show what was withdrawn. This decides nothing but what is shown.
        edited = sorted({(e.conversation_id, e.record.target_seq) for e in events if e.kind is Kind.EDIT})
        return (
            await self._retry.until_done("read withdrawals", lambda: self._store.withdrawn(edited)) if edited else set()
        )

    def _hand_out(self, result: Round, withdrawn: set[tuple[str, int]], times: tuple[int, int, int]) -> None:
        for outcome, count in Counter(verdict.outcome for verdict in result.verdicts).items():
            telemetry.VERDICTS.labels(outcome.name).inc(count)
        for verdict, holding in zip(result.verdicts, result.holdings, strict=True):
            if self._held.get(holding.claim.partition) is not holding:
                continue  # lost while it was stored: to relay and answer is up to whoever has it (O2)
            if verdict.event is not None:
                self._relay(result, holding, verdict.event, withdrawn, times)
            record = verdict.record
            if record.node:
                self.hub.answer(
                    record.node,
                    relay.Answer(record.request_id, verdict.outcome, verdict.seq, verdict.record_id, verdict.time_us),
                )

    def _relay(
        self,
        result: Round,
        holding: Holding,
        event: Event,
        withdrawn: set[tuple[str, int]],
        times: tuple[int, int, int],
    ) -> None:
        record, context = event.record, ""
        if record.traceparent:
            began, ordered, stored = times
            place: dict[str, str | int] = {"conversation": event.conversation_id, "seq": event.seq}
            self._tracer.span("order", record.traceparent, began, ordered, **place)
            self._tracer.span("store", record.traceparent, ordered, stored, **place)
            now_ns = self._clock.now_us() * 1000
            context = self._tracer.span("relay", record.traceparent, stored, now_ns, **place)
        frame = self._encoder.frame(event, (event.conversation_id, record.target_seq) in withdrawn)
        result.frames.setdefault(holding.claim.partition, []).append(frame)
        if holding.heads is not None:
            holding.heads.stored(event.conversation_id, event.seq)
        self.hub.relay(
            relay.Event(
                event.conversation_id,
                event.seq,
                relay.claim_of(event.position.era, holding.claim.number),
                frame,
                int(event.kind),
                record.left if event.kind is Kind.MEMBERSHIP else record.joined + record.left,
                record.version,
                context,
            )
        )

    # Keeping going

    async def _watch(self, consumer: Consumer) -> None:
        idle_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(1.0)
            self.hub.tick()
            telemetry.LAG.set(consumer.lag())
            now, committed_at = self._clock.monotonic(), self._finisher.committed_at
            waits = self._behind or self._finisher.is_behind
            # A silence before the records that wait now says nothing of them.
            idle_at = idle_at if waits else now
            stalled = now - max(committed_at, idle_at)
            if stalled > STALL_SECONDS and await self._answers():
                raise StalledError(f"records wait, nothing was committed for {stalled:.0f} s")
            if not waits and now - committed_at > RECOMMIT_SECONDS:
                await self._finisher.commit()

    async def _answers(self) -> bool:
        try:
            await self._store.ping()
            await self._log.end_offsets(ACCEPTED)
        except Transient:
            return False
        return True


def _failing(future: "asyncio.Future[None]") -> Callable[[BaseException], None]:
    def fail(error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)

    return fail
