"""Replaying the log: what its records became is written again, row by row, and nothing else happens (protocol, failure model).

An event is written as its owner wrote it, at the same versions, so whatever was changed later stays changed (W3), whoever owns
the partitions and works on them meanwhile. Nothing is numbered, relayed, answered or announced, and no offset is committed: a
replica that lost rows gets them again, and a replay can be stopped and begun again at any time.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from svc.delivery.incidents import group_of
from svc.delivery.judge import stand_in
from svc.delivery.model import Event, Position, Row
from svc.delivery.ports import MessageStore
from svc.delivery.retry import Retry
from svc.delivery.rounds import waves
from svc.delivery.sequencer import event_again
from svc.kernel.coordination import Coordination
from svc.kernel.errors import MalformedRequest
from svc.kernel.eventlog import ACCEPTED, EventLog, LoggedEntry
from svc.kernel.ids import is_conversation_id
from svc.kernel.record import Record, decode, marked

_TOGETHER = 1000
"""Records that are read, and written, at a time."""
_PLACES = 500_000
"""Rows whose places are remembered, about 200 bytes each; one conversation may have more."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was done with a partition: its records from `start` to before `end`, and how many of them were written again. The
    others were repeats or refusals, belong to a log before an incident, or their rows are lost on every replica."""

    partition: int
    start: int
    end: int
    records: int
    written: int


class Replaying:
    """Reads only what is through: what an owner has still to do is left to it."""

    def __init__(self, event_log: EventLog, store: MessageStore, coordination: Coordination, retry: Retry) -> None:
        self._log = event_log
        self._store = store
        self._coordination = coordination
        self._retry = retry
        # Conversation → (offset, record id) → the row of that record.
        self._places: OrderedDict[str, Mapping[tuple[int, int], Row]] = OrderedDict()

    async def replay(self, since_us: int | None, told: Callable[[Replayed], None]) -> None:
        """One partition after the other, from the first entry that was appended at `since_us` or later (None: from the oldest
        that is kept) to where everything was through when this began. `told` hears of each. Waits for what does not answer."""
        shards = await self._retry.until_done("read the map", self._coordination.read_shards)
        group = group_of(shards.incident)
        ends = await self._retry.until_done("read committed", lambda: self._log.committed(group, ACCEPTED))
        starts = dict.fromkeys(ends, 0)
        if since_us is not None:
            found = await self._retry.until_done("look for a time", lambda: self._log.offsets_since(ACCEPTED, since_us))
            starts = {partition: found.get(partition, end) for partition, end in ends.items()}
        for partition, end in sorted(ends.items()):
            told(await self._partition(partition, starts[partition], end, shards.incident))

    async def _partition(self, partition: int, start: int, end: int, incident: int) -> Replayed:
        at, records, written = start, 0, 0
        self._places.clear()  # a shard that has moved is looked for from where it stands here
        while at < end:
            count = min(_TOGETHER, end - at)
            entries = await self._retry.until_done(
                "read the log",
                lambda at=at, count=count: self._log.read(ACCEPTED, partition, at, count),  # type: ignore[misc]
            )
            entries = [entry for entry in entries if entry.offset < end]
            if not entries:
                break
            at = entries[-1].offset + 1
            events = await self._events(entries, incident)
            for wave in waves(events):
                await self._retry.until_done("store", lambda wave=wave: self._store.write(wave))  # type: ignore[misc]
            records += len(entries)
            written += len(events)
        return Replayed(partition, start, end, records, written)

    async def _events(self, entries: Sequence[LoggedEntry], incident: int) -> list[Event]:
        batch = [(entry, record) for entry in entries if (record := _record(entry)) is not None]
        missing: dict[str, Position] = {}
        for entry, record in batch:
            name = record.conversation_id
            if name in self._places:
                self._places.move_to_end(name)
            else:
                missing.setdefault(name, Position(incident, entry.offset))
        if missing:
            for name, stored in (await self._retry.until_done("load", lambda: self._store.load(missing))).items():
                self._places[name] = {(row.position.offset, row.record_id): row for row in stored.rows}
        events = []
        for entry, record in batch:
            row = self._places[record.conversation_id].get((entry.offset, record.record_id))
            if row is not None:
                events.append(event_again(record, row))
        self._forget()
        return events

    def _forget(self) -> None:
        kept = sum(map(len, self._places.values()))
        while kept > _PLACES and len(self._places) > 1:
            _, places = self._places.popitem(last=False)
            kept -= len(places)


def _record(entry: LoggedEntry) -> Record | None:
    if marked(entry) is not None:
        return None
    try:
        return decode(entry.value)
    except MalformedRequest:
        return stand_in(entry) if is_conversation_id(entry.key) else None
