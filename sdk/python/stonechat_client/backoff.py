"""How long to wait before the next attempt."""

import random

BASE_SECONDS = 1.0
_MOST = 8.0
# A server may ask for more patience than ours, but not for ever.
_LONGEST_SECONDS = 300.0


class Backoff:
    """1, 2, 4, 8, 8 … seconds with full jitter: each delay is uniform between 0 and that.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self) -> None:
        self._attempts = 0

    def next_delay(self, asked: float | None = None) -> float:
        """The next delay, in seconds; not less than the server has asked for, up to five minutes."""
        ceiling = BASE_SECONDS * min(_MOST, 2.0 ** min(self._attempts, 10))
        self._attempts += 1
        delay = random.uniform(0.0, ceiling)  # noqa: S311 - jitter, not a secret
        return max(delay, min(asked or 0.0, _LONGEST_SECONDS))

    def reset(self) -> None:
        """Call after a success."""
        self._attempts = 0
