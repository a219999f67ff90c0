"""How a process lives: tasks with owners, two-stage shutdown, a watchdog, one process for each data folder."""

import asyncio
import fcntl
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from svc.kernel.errors import StartError

log = logging.getLogger(__name__)

WATCHDOG_SECONDS = 5.0

Failed = Callable[[BaseException], None]
"""Told of the death of something that must live for as long as its process."""
_LOOKS = 5


@asynccontextmanager
async def owned(
    coroutine: Coroutine[Any, Any, None], name: str, failed: Failed | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Run a task for as long as the block lasts. When it ends with an error, `failed` is told at once (default: it is
    logged as a fault: such a task is meant to live)."""

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and failed is not None:
            failed(error)
        elif error is not None:
            log.error("task %s died", name, exc_info=error)

    task = asyncio.create_task(coroutine, name=name)
    task.add_done_callback(ended)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def settle_garbage() -> None:
    """Call when everything is built. What lives now lives as long as the process: the collector need not look at it again,
    and it runs after 10,000 new containers instead of 700. Its pauses made p99 at 1,500 messages/s 110 ms instead of 16."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def stop_on_signals(stop: asyncio.Event) -> None:
    """The first SIGINT or SIGTERM sets `stop`: the process drains. The second leaves at once, with code 130."""

    def received() -> None:
        if stop.is_set():
            sys.stderr.write("leaving at once\n")
            os._exit(130)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, received)


@contextmanager
def watchdog(seconds: float = WATCHDOG_SECONDS) -> Iterator[None]:
    """End the process when the event loop has not turned for so long (protocol O2): others take over what it owned, and
    a process that is stuck must not go on owning it.

    The thread counts its own looks, not the clock: when the whole process was paused it did not look either.
    """
    loop = asyncio.get_running_loop()
    turned, done = threading.Event(), threading.Event()
    turned.set()

    def watch() -> None:
        missed = 0
        while not done.wait(seconds / _LOOKS):
            if turned.is_set():
                missed = 0
                turned.clear()
                loop.call_soon_threadsafe(turned.set)
                continue
            missed += 1
            if missed == _LOOKS:
                sys.stderr.write(
                    f"the event loop has not turned for {seconds:g} s: leaving, so that others take over\n"
                )
                os._exit(70)

    thread = threading.Thread(target=watch, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def data_folder(path: Path) -> Iterator[None]:
    """Make the data folder, check that it can be written, and hold it for this process alone. Raises StartError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        run = path / "run"
        run.mkdir(mode=0o700, exist_ok=True)
        file = (run / "lock").open("a+")
    except OSError as error:
        raise StartError(
            f"the data folder {path} cannot be used ({error.strerror}): make it writable or set STONECHAT_DATA_DIR"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(
                f"the data folder {path} is in use by another Stonechat: stop that one or set STONECHAT_DATA_DIR"
            ) from None
        yield
