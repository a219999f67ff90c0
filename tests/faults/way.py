"""A way to a back end that can be closed for whoever goes by it, while others reach the back end as before."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

_CHUNK_BYTES = 1 << 16


class Way:
    """Forwards TCP. Closed, it is like a network that loses everything: connections stay, new ones seem to succeed, nothing
    goes through; what was under way arrives when it is opened again."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Nothing goes through."""
        self._open.clear()

    def open(self) -> None:
        """Everything goes through, what was held back first."""
        self._open.set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody has come."""
        self._begin(self._serve(reader, writer))

    async def end(self) -> None:
        """Whoever is on it is cut off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Whichever side ends first ends both.
        with suppress(OSError):
            try:
                await self._open.wait()
                beyond_reader, beyond_writer = await asyncio.open_connection(*self._target)
                try:
                    there, back = self._pump(reader, beyond_writer), self._pump(beyond_reader, writer)
                    pumps = [asyncio.create_task(there), asyncio.create_task(back)]
                    try:
                        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for pump in pumps:
                            pump.cancel()
                        await asyncio.gather(*pumps, return_exceptions=True)
                finally:
                    beyond_writer.close()
            finally:
                writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._open.wait()
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def way_to(url: str) -> AsyncIterator[tuple[Way, str]]:
    """A way to a back end of one node, and the URL of that back end by this way."""
    scheme, _, rest = url.partition("://")
    place, slash, name = rest.partition("/")
    host, _, port = place.rpartition(":")
    way = Way(host, int(port))
    async with await asyncio.start_server(way.connected, "127.0.0.1", 0) as server:
        at = server.sockets[0].getsockname()
        try:
            yield way, f"{scheme}://{at[0]}:{at[1]}{slash}{name}"
        finally:
            server.close()  # before those who are on it are cut off, so that they do not come again
            await way.end()
