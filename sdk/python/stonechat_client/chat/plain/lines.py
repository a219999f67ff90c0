"""Reading lines from whatever stdin is."""

import asyncio
import codecs
import os
import threading

_WAITING = 100


class Lines:
    """`async for line in Lines(0)`: the lines of a file descriptor, read as they are taken."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(_WAITING)
        self._reader: threading.Thread | None = None

    def __aiter__(self) -> "Lines":
        return self

    async def __anext__(self) -> str:
        if self._reader is None:
            # A thread, because a file or a device may stand where a pipe is expected. It ends with the process.
            arguments = (self._descriptor, asyncio.get_running_loop(), self._lines)
            self._reader = threading.Thread(target=_read, args=arguments, daemon=True, name="stdin")
            self._reader.start()
        line = await self._lines.get()
        if line is None:
            raise StopAsyncIteration
        return line


def _read(descriptor: int, loop: asyncio.AbstractEventLoop, to: "asyncio.Queue[str | None]") -> None:
    decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    try:
        # Not sys.stdin: a thread that waits in it stops the interpreter from leaving.
        while block := os.read(descriptor, 65_536):
            *whole, rest = (rest + decoder.decode(block)).split("\n")
            for line in whole:
                asyncio.run_coroutine_threadsafe(to.put(line), loop).result()
        for last in ([rest] if rest else []) + [None]:
            asyncio.run_coroutine_threadsafe(to.put(last), loop).result()
    except RuntimeError:
        return  # the program has left meanwhile
