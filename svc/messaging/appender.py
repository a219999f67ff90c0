"""Accepted records on their way into the log: what waits while one append is under way goes with the next."""

import asyncio
import time

from svc.kernel import telemetry
from svc.kernel.clock import Clock
from svc.kernel.errors import OutcomeUnknown, Unavailable
from svc.kernel.eventlog import ACCEPTED, Entry, EventLog
from svc.kernel.pace import Pace
from svc.kernel.record import Record, to_entry
from svc.kernel.shards import Shards
from svc.messaging.requests import Requests

_ENTRIES = 500
_PACE_FROM_PER_SECOND = 300.0
_PACE_SECONDS = 0.002
MAX_WAITING = 20_000


class Appender:
    """One task for all sessions of a node; no task and no timer for a message."""

    def __init__(
        self, event_log: EventLog, shards: Shards, requests: Requests, tracer: telemetry.Tracer, clock: Clock
    ) -> None:
        self._log = event_log
        self._shards = shards
        self._requests = requests
        self._tracer = tracer
        self._pace = Pace(clock, _PACE_FROM_PER_SECOND, _PACE_SECONDS)
        self._waiting: list[tuple[Record, Entry]] = []
        self._wake = asyncio.Event()

    def put(self, record: Record) -> None:
        """Append a record; a failure ends the request that waits for it. Raises Unavailable when too much waits."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("the log is behind: come back later", retry_after=1.0)
        self._waiting.append((record, to_entry(record, self._shards.shards)))
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            await self._pace.wait()
            batch, self._waiting = self._waiting[:_ENTRIES], self._waiting[_ENTRIES:]
            if not self._waiting:
                self._wake.clear()
            self._pace.ran(len(batch))
            await self._append(batch)

    async def _append(self, batch: list[tuple[Record, Entry]]) -> None:
        began_ns = time.time_ns()
        try:
            await self._log.append(ACCEPTED, [entry for _, entry in batch])
        except Unavailable as error:
            # It may be stored all the same: then the answer comes too late, and a repeat with the same id gets it.
            unknown = OutcomeUnknown(f"{error.message}; repeat with the same id")
            self._requests.fail([record.request_id for record, _ in batch], unknown)
            return
        for record, entry in batch:
            if record.traceparent:
                self._tracer.span("log", record.traceparent, began_ns, time.time_ns(), partition=entry.partition)
