"""What could not be processed, for people: list, look, and send on its way again (protocol L3, L8)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from svc.kernel.errors import InvalidField, MalformedRequest, NotFound, Unprocessable
from svc.kernel.eventlog import ACCEPTED, DEAD_LETTERS, EventLog
from svc.kernel.record import decode, to_entry
from svc.kernel.shards import Shards


@dataclass(frozen=True, slots=True)
class Parked:
    """A dead letter where it lies: `value` is an encoded `DeadLetter`."""

    partition: int
    offset: int
    value: bytes

    @property
    def dead_letter_id(self) -> str:
        """How people name it."""
        return f"{self.partition}.{self.offset}"


class DeadLetters:
    """The log of dead letters."""

    def __init__(self, event_log: EventLog, shards: Shards) -> None:
        self._log = event_log
        self._shards = shards

    async def page(self, after: str, count: int) -> Sequence[Parked]:
        """Up to `count` after the one named (empty: from the first), by partition and offset."""
        partition, offset = _place("page_token", after) if after else (0, -1)
        found: list[Parked] = []
        for number in range(partition, self._shards.shards.partitions):
            start = offset + 1 if number == partition else 0
            entries = await self._log.read(DEAD_LETTERS, number, start, count - len(found))
            found += [Parked(entry.partition, entry.offset, entry.value) for entry in entries]
            if len(found) >= count:
                break
        return found

    async def get(self, dead_letter_id: str) -> Parked:
        """The one named. Raises NotFound."""
        partition, offset = _place("dead_letter_id", dead_letter_id)
        entries = await self._log.read(DEAD_LETTERS, partition, offset, 1)
        if not entries or entries[0].offset != offset:
            raise NotFound(f"dead_letter_id: there is no {dead_letter_id}", field="dead_letter_id")
        return Parked(partition, offset, entries[0].value)

    async def replay(self, record: bytes) -> tuple[int, int]:
        """Append a parked record again: a new position and time, the old key. Returns (partition, offset). Raises Unprocessable
        when it does not even parse: no version of the owner could number it."""
        try:
            again = replace(decode(record), not_after_us=0, node="", request_id=0, traceparent="")
        except MalformedRequest as error:
            raise Unprocessable(f"it is no record: {error.message}") from error
        entry = to_entry(again, self._shards.shards)
        offsets = await self._log.append(ACCEPTED, [entry])
        return entry.partition, offsets[0]


def _place(field: str, text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(".")
    if not (partition.isdecimal() and offset.isdecimal() and len(text) < 32):
        raise InvalidField(field, "must be `<partition>.<offset>`")
    return int(partition), int(offset)
