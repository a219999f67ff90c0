"""A failing back end decides nothing (protocol L3): the step is repeated until it succeeds."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from svc.kernel import telemetry
from svc.kernel.clock import Backoff, Clock
from svc.kernel.errors import Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")


class Retry:
    """Repeats with full jitter, says when it begins to wait and when it goes on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def until_done(self, step: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns, as soon as it does not raise Unavailable. Attempts must be safe to repeat."""
        backoff = Backoff(base=0.05, cap=2.0)
        while True:
            try:
                done = await attempt()
            except Unavailable as error:
                if backoff.attempts == 0:
                    log.warning("delivery waits", extra={"step": step, "error": error.message})
                    telemetry.WAITING.set(1)
                await self._clock.sleep(backoff.next_delay())
            else:
                if backoff.attempts:
                    log.warning("delivery goes on", extra={"step": step, "attempts": backoff.attempts})
                    telemetry.WAITING.set(0)
                return done
