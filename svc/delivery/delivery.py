"""Owning for as long as the process lives: claim, serve, and after any failure claim again."""

import logging
from collections.abc import Callable

from svc.delivery.model import LogIncidentError
from svc.delivery.owner import Owner, StalledError
from svc.delivery.streams import OwnerStreams
from svc.kernel.clock import Backoff, Clock
from svc.kernel.errors import Unavailable

log = logging.getLogger(__name__)

_HEALTHY_SECONDS = 10.0


class Delivery:
    """Serves one claim after the other. `make_owner` builds an owner with nothing in memory."""

    def __init__(self, make_owner: Callable[[], Owner], clock: Clock) -> None:
        self._make_owner = make_owner
        self._clock = clock
        self.streams = OwnerStreams()

    async def run(self) -> None:
        """Until cancelled."""
        backoff = Backoff(base=0.1, cap=5.0)
        while True:
            owner = self._make_owner()
            try:
                starts = await owner.claim()
                self.streams.owner = owner
                served_from = self._clock.monotonic()
                try:
                    await owner.run(starts)
                finally:
                    if self._clock.monotonic() - served_from > _HEALTHY_SECONDS:
                        backoff.reset()
            except LogIncidentError as incident:
                log.critical(
                    "the log is not the one that was stored from: a new era begins", extra={"why": str(incident)}
                )
                await self._new_eras(owner)
            except (Unavailable, StalledError) as error:
                log.warning("the claim ended", extra={"error": str(error)})
            except Exception:
                log.exception("the owner failed; it starts over from what is stored")
            finally:
                self.streams.owner = None
            await self._clock.sleep(backoff.next_delay())

    async def _new_eras(self, owner: Owner) -> None:
        try:
            await owner.start_new_eras()
        except Unavailable as error:
            log.warning("the new era is not stored yet", extra={"error": error.message})
