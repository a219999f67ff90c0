"""How long to wait before the next attempt."""

import random

BASE_SECONDS = 1.0
_MOST = 8.0
# Less than this is no time to come back at, but an invitation to ask without end.
_BELIEVED_SECONDS = 0.1
# A server may ask for more patience than ours, but not for ever.
_LONGEST_SECONDS = 300.0


class Backoff:
    """1, 2, 4, 8, 8 … seconds with full jitter: each delay is uniform between 0 and that.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self) -> None:
        self._attempts = 0

    def next_delay(self, asked: float | None = None) -> float:
        """The next delay, in seconds. A server that says when to come back is believed: that long, up to five minutes, and
        up to a quarter more, so that not all come at once; it was reached, so the attempt is none that failed."""
        if asked is not None and asked >= _BELIEVED_SECONDS:
            return min(asked, _LONGEST_SECONDS) * random.uniform(1.0, 1.25)  # noqa: S311 - jitter, not a secret
        ceiling = BASE_SECONDS * min(_MOST, 2.0 ** min(self._attempts, 10))
        self._attempts += 1
        return random.uniform(0.0, ceiling)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Call after a success."""
        self._attempts = 0
