"""How long to wait before the next attempt."""

import random

BASE_SECONDS = 1.0
_MOST = 8.0


class Backoff:
    """1, 2, 4, 8, 8 … seconds with full jitter: each delay is uniform between 0 and that.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self) -> None:
        self._attempts = 0

    def next_delay(self) -> float:
        """The next delay, in seconds."""
        ceiling = BASE_SECONDS * min(_MOST, 2.0 ** min(self._attempts, 10))
        self._attempts += 1
        return random.uniform(0.0, ceiling)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Call after a success."""
        self._attempts = 0
