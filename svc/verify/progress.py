"""A line that says how far it is: on a terminal, and only when it takes long."""

import sys
import time
from typing import TextIO

_QUIET_SECONDS = 1.0
_EVERY_SECONDS = 0.2
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """Writes over itself. `close` takes it away."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out = out
        self._next = time.monotonic() + _QUIET_SECONDS if out.isatty() else float("inf")
        self._shown = False

    def told(self, text: str) -> None:
        """How far it is."""
        if (now := time.monotonic()) < self._next:
            return
        self._next, self._shown = now + _EVERY_SECONDS, True
        self._out.write(f"{_CLEAR}{text} …")
        self._out.flush()

    def close(self) -> None:
        """No more of it."""
        if self._shown:
            self._out.write(_CLEAR)
            self._out.flush()
