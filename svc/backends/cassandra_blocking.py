"""A session with Cassandra for those who block: commands, not services. It lives on an event loop of its own, in a thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from svc.backends.cassandra import Cassandra, open_cassandra
from svc.backends.sealing import Seal
from svc.kernel.addresses import Address

T = TypeVar("T")


class BlockingCassandra:
    """`seal` is used by the thread that asks."""

    def __init__(self, cassandra: Cassandra, loop: asyncio.AbstractEventLoop) -> None:
        self.seal = cassandra.seal
        self._cassandra = cassandra
        self._loop = loop

    def run(self, work: Callable[[Cassandra], Coroutine[Any, Any, T]]) -> T:
        """What comes of work with the session; raises what it raises. Every call of the session has its own deadline."""
        future = asyncio.run_coroutine_threadsafe(work(self._cassandra), self._loop)
        try:
            return future.result()
        finally:
            future.cancel()  # of use only to who is interrupted


@contextmanager
def open_blocking(address: Address, seal: Seal) -> Iterator[BlockingCassandra]:
    """For as long as the block lasts. Raises StartError, as `open_cassandra`."""
    opened: Future[BlockingCassandra] = Future()
    end = asyncio.Event()

    async def serve() -> None:
        try:
            async with open_cassandra(address, seal) as cassandra:
                opened.set_result(BlockingCassandra(cassandra, asyncio.get_running_loop()))
                await end.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="cassandra", daemon=True)
    thread.start()
    cassandra = opened.result()
    try:
        yield cassandra
    finally:
        cassandra.run(lambda _: _set(end))
        thread.join()


async def _set(event: asyncio.Event) -> None:
    event.set()
