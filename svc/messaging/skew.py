"""How far this node's clock is from the log's (protocol L4): measured and told, never used to decide."""

import logging

from svc.kernel import telemetry

log = logging.getLogger(__name__)

ALARM_SECONDS = 1.0


class SkewWatch:
    """A message is appended after it was accepted and before it is answered. An event time outside of that is skew."""

    def __init__(self) -> None:
        self._alarmed = False

    def observe(self, accepted_us: int, event_us: int, answered_us: int) -> None:
        """The times of one new event: by this node, by the log, by this node; µs since 1970."""
        seconds = (min(0, event_us - accepted_us) + max(0, event_us - answered_us)) / 1e6
        telemetry.CLOCK_SKEW.set(seconds)
        if (abs(seconds) > ALARM_SECONDS) != self._alarmed:
            self._alarmed = not self._alarmed
            told = "this node's clock differs from the log's" if self._alarmed else "this node's clock is right again"
            log.warning(told, extra={"seconds": round(seconds, 3)})
