"""Records that were answered MOVED: appended again, with their keys, to where their shard lives now (protocol G2)."""

import asyncio
import logging
from collections.abc import Callable

from svc.kernel.clock import Clock
from svc.kernel.coordination import Coordination
from svc.kernel.errors import StonechatError, Unavailable
from svc.kernel.record import Record
from svc.kernel.shards import shard_of

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25


class MovedRecords:
    """Those of a node, until they are appended again or nobody waits for them any more."""

    def __init__(self, coordination: Coordination, append: Callable[[Record], None], clock: Clock) -> None:
        self._coordination = coordination
        self._append = append
        self._clock = clock
        self._waiting: list[Record] = []
        self._wake = asyncio.Event()

    def put(self, record: Record) -> None:
        """This one was appended where its shard does not live. Bounded by the requests that wait."""
        self._waiting.append(record)
        self._wake.set()

    async def run(self, is_wanted: Callable[[Record], bool]) -> None:
        """Until cancelled. `is_wanted`: somebody still waits for the answer. The map is read for all that came meanwhile, and
        not more often than each quarter of a second: whoever disagrees with it on where a record counts cannot keep us busy."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._append_again()
            self._waiting = [each for each in self._waiting if is_wanted(each)]
            if self._waiting:
                self._wake.set()
            await self._clock.sleep(_LOOK_SECONDS)

    async def _append_again(self) -> None:
        try:
            shards = await self._coordination.read_shards()
        except Unavailable as error:
            log.debug("moved records wait", extra={"error": error.message})
            return
        waiting, self._waiting = self._waiting, []
        for record in waiting:
            if shard_of(record.conversation_id) in shards.moves:
                self._waiting.append(record)  # still on its way: where it went is published next
                continue
            try:
                self._append(record)
            except StonechatError:
                self._waiting.append(record)
