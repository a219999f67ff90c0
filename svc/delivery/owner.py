"""The owner of partitions: reads the log in order, and takes each record through all steps (protocol L, T, W).

A round: fetch what has arrived → load and look up → decide → store → relay and answer; then, while the next rounds are under
way, announce → commit (finisher.py). A back end that fails decides nothing: the step is repeated until it succeeds.
"""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack

from svc.delivery.eras import by_era, group_of
from svc.delivery.finisher import Finisher
from svc.delivery.hub import Hub
from svc.delivery.loader import Loader
from svc.delivery.model import Event, Key, KeyRow, LogIncidentError, Verdict
from svc.delivery.ports import Encoder, MessageStore
from svc.delivery.retry import Retry
from svc.delivery.rounds import Round, waves
from svc.delivery.sequencer import Facts, Missing, Sequencer
from svc.kernel import relay, telemetry
from svc.kernel.clock import Clock
from svc.kernel.errors import MalformedRequest, Transient
from svc.kernel.eventlog import ACCEPTED, Consumer, Entry, EventLog, LoggedEntry
from svc.kernel.ids import is_conversation_id
from svc.kernel.lifecycle import owned
from svc.kernel.pace import Pace
from svc.kernel.record import Kind, Record, decode
from svc.kernel.shards import Shards

log = logging.getLogger(__name__)

# An offset above all others: nothing of a former era is read any more, so nothing of it need be kept.
_ALL_DONE = 1 << 62
ROUND_RECORDS = 500
STALL_SECONDS = 30.0
RECOMMIT_SECONDS = 3600.0
# Above this rate rounds begin at most every PACE_SECONDS: a record that travels alone costs five times one of ten.
PACE_FROM_PER_SECOND = 300.0
PACE_SECONDS = 0.004

Batch = list[tuple[LoggedEntry, Record]]


class StalledError(Exception):
    """Records wait, the back ends answer, and still nothing was committed (O2): start over from what is stored."""


class Owner:
    """One claim on partitions, from taking over to losing it. Make a new one for each claim."""

    def __init__(
        self,
        event_log: EventLog,
        store: MessageStore,
        encoder: Encoder,
        clock: Clock,
        tracer: telemetry.Tracer,
        shards: Shards,
    ) -> None:
        self._log = event_log
        self._store = store
        self._encoder = encoder
        self._clock = clock
        self._tracer = tracer
        self._shards = shards
        self._sequencers: dict[int, Sequencer] = {}
        self._ends: dict[int, int] = {}
        self._retry = Retry(clock)
        self.loader = Loader(self._sequencers, self._ends, shards, store, event_log, self._retry)
        self._eras: dict[int, int] = {}
        self._finisher = Finisher(event_log, encoder, clock, shards, self._retry, self._eras)
        self._pace = Pace(clock, PACE_FROM_PER_SECOND, PACE_SECONDS)
        self._behind = False
        self._asked: list[tuple[str, Sequence[relay.Unanswered]]] = []
        self._ask = asyncio.Event()

    @property
    def hub(self) -> Hub:
        """The subscriptions of this claim."""
        return self.loader.hub

    # Taking over (T1, T4)

    async def claim(self) -> dict[int, int]:
        """Claim every partition and return where each is read from. Raises LogIncidentError, Unavailable."""
        claim = await self._log.next_claim()
        eras = await self._log.eras()
        self._eras |= {partition: eras.get(partition, 1) for partition in range(self._shards.shards.partitions)}
        if len(set(self._eras.values())) > 1:
            raise LogIncidentError("another owner was about to start a new era of all partitions")
        committed: dict[int, int] = {}
        for era, partitions in by_era(self._eras).items():
            found = await self._log.committed(group_of(era), ACCEPTED)
            committed |= {partition: found.get(partition, 0) for partition in partitions}
        self._ends.update(await self._log.end_offsets(ACCEPTED))
        for partition, era in self._eras.items():
            start = committed[partition]
            if start > self._ends.get(partition, 0):
                raise LogIncidentError(f"partition {partition}: committed up to {start}, but the log ends before that")
            self._sequencers[partition] = Sequencer(era, start)
        starts = {partition: sequencer.start.offset for partition, sequencer in self._sequencers.items()}
        self._finisher.begin(starts)
        self.loader.hub.claim = claim
        return starts

    async def start_new_eras(self) -> None:
        """After an incident of the log: positions count anew, above every one before (T4). What was committed counted in
        the log that is gone, so reading starts at the beginning; keys still catch repeats. Owners that notice it together, or
        while the first of them is at it, start the same era."""
        newest = max(self._eras.values())
        new = newest + 1 if min(self._eras.values()) == newest else newest
        for partition in self._eras:
            await self._log.start_era(partition, new)
        for era, partitions in by_era(self._eras).items():
            if era < new:
                await self._log.commit(group_of(era), ACCEPTED, dict.fromkeys(partitions, _ALL_DONE))

    async def run(self, starts: dict[int, int]) -> None:
        """Serve the claim until cancelled. Raises LogIncidentError, StalledError, Unavailable (the log cannot be read)."""
        consumer = await self._log.consume(ACCEPTED, starts)
        try:
            async with AsyncExitStack() as stack:
                failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                fail = _failing(failed)
                await stack.enter_async_context(
                    owned(self.loader.serve_subscriptions(), "delivery subscriptions", fail)
                )
                await stack.enter_async_context(owned(self._serve_unanswered(), "delivery unanswered", fail))
                await stack.enter_async_context(owned(self._watch(consumer), "delivery watch", fail))
                await stack.enter_async_context(owned(self._finisher.run(), "delivery finisher", fail))
                await stack.enter_async_context(owned(self._serve_rounds(consumer), "delivery rounds", fail))
                await failed
        finally:
            self.hub.close_all()
            await consumer.close()

    # Rounds

    async def _serve_rounds(self, consumer: Consumer) -> None:
        while True:
            await self._pace.wait()
            entries = await consumer.fetch(ROUND_RECORDS)
            self._pace.ran(len(entries))
            self._behind = True
            await self.round(entries)
            self._behind = consumer.lag() > 0

    async def round(self, entries: Sequence[LoggedEntry]) -> None:
        """Take one batch through judging, storing and relaying; leave announcing and committing to the finisher."""
        began_ns = self._clock.now_us() * 1000
        result = await self._judge(entries)
        ordered_ns = self._clock.now_us() * 1000
        events = result.events()
        for wave in waves(events):
            await self._retry.until_done("store", lambda wave=wave: self._store.write(wave))  # type: ignore[misc]
        withdrawn = await self._withdrawn(events)
        stored_ns = self._clock.now_us() * 1000
        self._hand_out(result, withdrawn, (began_ns, ordered_ns, stored_ns))
        for partition, sequencer in self._sequencers.items():
            if partition in result.next_offsets:
                sequencer.advanced(result.next_offsets[partition])
            for conversation_id in sequencer.settled():
                self.hub.idle(conversation_id)
        telemetry.ROUNDS.inc()
        telemetry.ROUND_SECONDS.labels("judge").observe((ordered_ns - began_ns) / 1e9)
        telemetry.ROUND_SECONDS.labels("store").observe((stored_ns - ordered_ns) / 1e9)
        await self._finisher.put(result)

    async def _judge(self, entries: Sequence[LoggedEntry]) -> Round:
        result, batch, errors = Round(), Batch(), dict[int, str]()
        for entry in entries:
            result.next_offsets[entry.partition] = entry.offset + 1
            try:
                record = decode(entry.value)
            except MalformedRequest as error:
                if not is_conversation_id(entry.key):
                    result.dead_letters.append(self._parked(entry, None, error.message))
                    continue
                record = _stand_in(entry)
                errors[len(batch)] = error.message
            batch.append((entry, record))
        await self.loader.load({record.conversation_id for entry, record in batch if self._is_placed(entry, record)})
        facts = await self._look_up(batch)
        for index, (entry, record) in enumerate(batch):
            verdict = self._verdict(entry, record, facts, errors.get(index, ""))
            result.verdicts.append(verdict)
            if verdict.outcome is relay.Outcome.UNPROCESSABLE:
                result.dead_letters.append(self._parked(entry, verdict, verdict.error))
        return result

    def _verdict(self, entry: LoggedEntry, record: Record, facts: Facts, error: str) -> Verdict:
        if not self._is_placed(entry, record):
            return Verdict(record, relay.Outcome.MOVED)
        sequencer = self._sequencers[entry.partition]
        if not error:
            try:
                return sequencer.decide(entry, record, facts)
            except LogIncidentError:
                raise
            except Exception as unforeseen:
                log.exception(
                    "a record cannot be processed", extra={"partition": entry.partition, "offset": entry.offset}
                )
                error = repr(unforeseen)
        return sequencer.unprocessable(entry, record, error)

    def _is_placed(self, entry: LoggedEntry, record: Record) -> bool:
        # What was appended by an older map of the shards is answered MOVED, and never numbered (G1).
        return entry.partition == self._shards.shards.partition_of(record.conversation_id)

    async def _look_up(self, batch: Batch) -> Facts:
        missing = Missing()
        for partition, sequencer in self._sequencers.items():
            found = sequencer.missing(it for it in batch if it[0].partition == partition and self._is_placed(*it))
            missing.keys |= found.keys
            missing.targets |= found.targets
        facts = Facts()
        if missing.keys:
            keys = sorted(missing.keys)
            facts.keys = await self._retry.until_done("look up keys", lambda: self._store.keys(keys))
        if missing.targets:
            targets = sorted(missing.targets)
            facts.targets = await self._retry.until_done("look up targets", lambda: self._store.targets(targets))
        return facts

    async def _withdrawn(self, events: Iterable[Event]) -> set[tuple[str, int]]:
        # An edit that was accepted late must not show what was withdrawn. This decides nothing but what is shown.
        edited = sorted({(e.conversation_id, e.record.target_seq) for e in events if e.kind is Kind.EDIT})
        return (
            await self._retry.until_done("read withdrawals", lambda: self._store.withdrawn(edited)) if edited else set()
        )

    def _hand_out(self, result: Round, withdrawn: set[tuple[str, int]], times: tuple[int, int, int]) -> None:
        for outcome, count in Counter(verdict.outcome for verdict in result.verdicts).items():
            telemetry.VERDICTS.labels(outcome.name).inc(count)
        for verdict in result.verdicts:
            if verdict.event is not None:
                self._relay(result, verdict.event, withdrawn, times)
            record = verdict.record
            if record.node:
                self.hub.answer(
                    record.node,
                    relay.Answer(record.request_id, verdict.outcome, verdict.seq, verdict.record_id, verdict.time_us),
                )

    def _relay(self, result: Round, event: Event, withdrawn: set[tuple[str, int]], times: tuple[int, int, int]) -> None:
        record, context = event.record, ""
        if record.traceparent:
            began, ordered, stored = times
            place: dict[str, str | int] = {"conversation": event.conversation_id, "seq": event.seq}
            self._tracer.span("order", record.traceparent, began, ordered, **place)
            self._tracer.span("store", record.traceparent, ordered, stored, **place)
            now_ns = self._clock.now_us() * 1000
            context = self._tracer.span("relay", record.traceparent, stored, now_ns, **place)
        frame = self._encoder.frame(event, (event.conversation_id, record.target_seq) in withdrawn)
        result.frames.setdefault(self._shards.shards.partition_of(event.conversation_id), []).append(frame)
        self.hub.relay(
            relay.Event(
                event.conversation_id,
                event.seq,
                self.hub.claim,
                frame,
                int(event.kind),
                record.left if event.kind is Kind.MEMBERSHIP else record.joined + record.left,
                record.version,
                context,
            )
        )

    def _parked(self, entry: LoggedEntry, verdict: Verdict | None, error: str) -> Entry:
        return Entry(entry.partition, entry.key, self._encoder.dead_letter(entry, verdict, error))

    def ask(self, node: str, requests: Sequence[relay.Unanswered]) -> None:
        """A node lists requests whose answers it may have missed (S9)."""
        if requests:
            self._asked.append((node, requests))
            self._ask.set()

    async def _serve_unanswered(self) -> None:
        while True:
            await self._ask.wait()
            self._ask.clear()
            asked, self._asked = self._asked, []
            for node, requests in asked:
                await self._answer_stored(node, requests)

    async def _answer_stored(self, node: str, requests: Sequence[relay.Unanswered]) -> None:
        # What is not through yet is answered as the log is read. A key row alone says too little: its event may not be stored,
        # and of a repeat only the verdict knows whether it asks the same. Such a request waits, and is repeated.
        keys = {r.request_id: Key(r.conversation_id, r.sender_id, r.client_message_id) for r in requests}
        asked = sorted(set(keys.values()))
        rows = await self._retry.until_done("look up keys", lambda: self._store.keys(asked))
        for request in requests:
            row = rows.get(keys[request.request_id])
            if row is not None and row.record_id == request.record_id and self._is_through(request, row):
                stored = relay.Outcome.STORED
                self.hub.answer(node, relay.Answer(request.request_id, stored, row.seq, row.record_id, row.time_us))

    def _is_through(self, request: relay.Unanswered, row: KeyRow) -> bool:
        name = request.conversation_id
        return self.loader.is_here(name) and self.loader.sequencer(name).is_through(row.position)

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


def _stand_in(entry: LoggedEntry) -> Record:
    """A record in place of one that cannot be read, the same whoever reads it."""
    number = int.from_bytes(hashlib.blake2b(entry.value, digest_size=8).digest(), "big") >> 1 or 1
    return Record(Kind.UNPROCESSABLE, entry.key, "system", f"~{number}", number, b"")
