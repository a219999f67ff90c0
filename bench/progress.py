"""What is going on, for whoever waits: one line a step, on stderr."""

import sys
import time


def say(text: str) -> None:
    """Now, and when."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
