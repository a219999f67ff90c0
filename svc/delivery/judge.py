"""Judging one batch of the log: which entries are records, where they belong, what must be known of them, what they become."""

import hashlib
import logging
from collections.abc import Mapping, Sequence

from svc.delivery.holding import Holding
from svc.delivery.loader import Loader
from svc.delivery.model import LogIncidentError, Verdict
from svc.delivery.ports import Encoder, MessageStore
from svc.delivery.retry import Retry
from svc.delivery.rounds import Round
from svc.delivery.sequencer import Facts, Missing, Sequencer
from svc.kernel import relay
from svc.kernel.coordination import Coordination
from svc.kernel.errors import MalformedRequest
from svc.kernel.eventlog import Entry, LoggedEntry
from svc.kernel.ids import is_conversation_id
from svc.kernel.record import Kind, Mark, Record, decode, marked
from svc.kernel.shards import shard_of

log = logging.getLogger(__name__)

Batch = list[tuple[LoggedEntry, Record]]


class Judge:
    """For the partitions that are held. A failing back end decides nothing (L3): it waits."""

    def __init__(
        self,
        held: Mapping[int, Holding],
        coordination: Coordination,
        loader: Loader,
        store: MessageStore,
        encoder: Encoder,
        retry: Retry,
    ) -> None:
        self._held = held
        self._coordination = coordination
        self._loader = loader
        self._store = store
        self._encoder = encoder
        self._retry = retry

    async def judge(self, entries: Sequence[LoggedEntry]) -> Round:
        """What a batch becomes. Raises LogIncidentError."""
        result, batch, errors = Round(), Batch(), dict[int, str]()
        held = dict(self._held)
        for entry in entries:
            if entry.partition not in held:
                continue
            result.next_offsets[held[entry.partition]] = entry.offset + 1
            if (mark := marked(entry)) is not None:
                await self._heed(held[entry.partition], entry, *mark)
                continue
            if entry.offset < held[entry.partition].through:
                continue  # only the marks of moves are read again
            try:
                record = decode(entry.value)
            except MalformedRequest as error:
                if not is_conversation_id(entry.key):
                    result.dead_letters.append(self._parked(entry, None, error.message))
                    continue
                record = stand_in(entry)
                errors[len(batch)] = error.message
            batch.append((entry, record))
        gone = await self._gone(held, batch)
        here = [item for index, item in enumerate(batch) if index not in gone]
        await self._loader.load({record.conversation_id for _, record in here})
        facts = await self._look_up(held, here)
        for index, (entry, record) in enumerate(batch):
            holding = held[entry.partition]
            if self._held.get(entry.partition) is not holding:
                continue  # given back, or lost, meanwhile: whoever has it reads this again
            if index in gone:
                verdict = Verdict(record, relay.Outcome.MOVED)
                if not record.node:
                    result.moved.append((holding, entry))
            elif not holding.sequencer.is_loaded(record.conversation_id):
                continue  # its shard has left, as it could only when this was committed (G1): a commit has moved back
            else:
                verdict = self._verdict(holding.sequencer, entry, record, facts, errors.get(index, ""))
            result.verdicts.append(verdict)
            result.holdings.append(holding)
            if verdict.outcome is relay.Outcome.UNPROCESSABLE:
                result.dead_letters.append(self._parked(entry, verdict, verdict.error))
        return result

    async def _heed(self, holding: Holding, entry: LoggedEntry, mark: Mark, shard: int, incident: int) -> None:
        """A mark in the log (G1). An opening is for whoever moves the shard to see; the map tells what it opened."""
        if mark is not Mark.FENCE:
            return
        if shard not in self._coordination.shards.moves:
            await self._retry.until_done("read the map", self._coordination.read_shards)
        shards = self._coordination.shards
        move = shards.moves.get(shard) if incident == shards.incident else None
        if move is not None and move.source == entry.partition and move.since <= entry.offset:
            holding.fences.setdefault(shard, entry.offset)

    async def _gone(self, held: Mapping[int, Holding], batch: Batch) -> set[int]:
        """Which of the batch were appended where their shard does not live: never numbered (G1). Whoever appended one may know
        a newer map than we do, so that is read first."""
        gone = self._elsewhere(held, batch)
        if gone:
            await self._retry.until_done("read the map", self._coordination.read_shards)
            gone = self._elsewhere(held, batch)
        return gone

    def _elsewhere(self, held: Mapping[int, Holding], batch: Batch) -> set[int]:
        shards = self._coordination.shards
        found = set()
        for index, (entry, record) in enumerate(batch):
            fences = held[entry.partition].fences
            fence = fences.get(shard_of(record.conversation_id)) if fences else None
            if not shards.counts(record.conversation_id, entry.partition, entry.offset) or (
                fence is not None and fence < entry.offset
            ):
                found.add(index)
        return found

    def _verdict(self, sequencer: Sequencer, entry: LoggedEntry, record: Record, facts: Facts, error: str) -> Verdict:
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

    async def _look_up(self, held: Mapping[int, Holding], batch: Batch) -> Facts:
        missing = Missing()
        for partition, own in _by_partition(batch).items():
            sequencer = held[partition].sequencer
            found = sequencer.missing(item for item in own if sequencer.is_loaded(item[1].conversation_id))
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

    def _parked(self, entry: LoggedEntry, verdict: Verdict | None, error: str) -> Entry:
        return Entry(entry.partition, entry.key, self._encoder.dead_letter(entry, verdict, error))


def _by_partition(batch: Batch) -> dict[int, Batch]:
    found: dict[int, Batch] = {}
    for entry, record in batch:
        found.setdefault(entry.partition, []).append((entry, record))
    return found


def stand_in(entry: LoggedEntry) -> Record:
    """A record in place of one that cannot be read, the same whoever reads it."""
    number = int.from_bytes(hashlib.blake2b(entry.value, digest_size=8).digest(), "big") >> 1 or 1
    return Record(Kind.UNPROCESSABLE, entry.key, "system", f"~{number}", number, b"")
