"""Who asks a back end that does not answer is refused at once, so that nobody waits for what will not come.

After FAILURES calls in a row without an answer only a single call goes through every PROBE_SECONDS; the first that is answered
lets all through again. One line says when it begins, one when it ends.
"""

import logging

from svc.kernel import telemetry
from svc.kernel.clock import Clock
from svc.kernel.errors import Unavailable

log = logging.getLogger(__name__)

FAILURES = 5
PROBE_SECONDS = 0.5


class Breaker:
    """Between one back end and its callers: `admit` before each call, then `answered` or `failed`."""

    def __init__(self, back_end: str, clock: Clock) -> None:
        self._back_end = back_end
        self._clock = clock
        self._failures = 0
        self._probe_at = 0.0
        self._trouble = ""

    @property
    def is_open(self) -> bool:
        """Whether calls are refused: for who probes by a task of its own, instead of by `admit`."""
        return self._failures >= FAILURES

    def admit(self) -> None:
        """Return when the call may be made. Raises Unavailable when it may not."""
        if not self.is_open:
            return
        now = self._clock.monotonic()
        if now < self._probe_at:
            raise Unavailable(f"{self._back_end} does not answer: {self._trouble}", retry_after=PROBE_SECONDS)
        self._probe_at = now + PROBE_SECONDS

    def answered(self) -> None:
        """A call was answered."""
        if self.is_open:
            log.warning("a back end is asked again: it answers", extra={"back_end": self._back_end})
            telemetry.BACK_END_REFUSED.labels(self._back_end).set(0)
        self._failures = 0

    def failed(self, trouble: str) -> None:
        """A call was not answered."""
        self._failures += 1
        self._trouble = trouble
        if self._failures == FAILURES:
            log.error(
                "a back end does not answer: all are refused at once but one call every %g s",
                PROBE_SECONDS,
                extra={"back_end": self._back_end, "error": trouble},
            )
            telemetry.BACK_END_REFUSED.labels(self._back_end).set(1)
            self._probe_at = self._clock.monotonic() + PROBE_SECONDS
