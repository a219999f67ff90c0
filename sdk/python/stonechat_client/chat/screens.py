"""Where lines come from and go to: a terminal, or a pipe, so that scripts can drive it."""

import asyncio
import codecs
import os
import sys
import threading
from collections.abc import Callable
from typing import Protocol

from stonechat_client.chat.lines import NAMES, Line, Style


class Screen(Protocol):
    """What a person reads and writes on."""

    async def read(self, prompt: str, secret: bool = False) -> str | None:
        """The next line that is typed, or None when there will be none. `secret` ones are not shown."""
        ...

    def show(self, line: Line) -> None:
        """Show a line under the others."""
        ...

    def status(self, text: str) -> None:
        """What is true now; replaces what was said before."""
        ...

    def on_typing(self, typing: Callable[[str], None]) -> None:
        """Call `typing` with what stands in the line whenever it changes."""
        ...


class PipeScreen:
    """Lines in and lines out, errors on stderr. What is only true for now is not shown."""

    def __init__(self, stdin: int = 0) -> None:
        self._stdin = stdin
        self._lines: asyncio.Queue[str | None] = asyncio.Queue(100)
        self._reader: threading.Thread | None = None

    async def read(self, prompt: str, secret: bool = False) -> str | None:
        if self._reader is None:
            # A thread, because a file or a device may stand where a pipe is expected. It ends with the process.
            arguments = (self._stdin, asyncio.get_running_loop(), self._lines)
            self._reader = threading.Thread(target=_read_lines, args=arguments, daemon=True, name="stdin")
            self._reader.start()
        return await self._lines.get()

    def show(self, line: Line) -> None:
        out = sys.stderr if line.style is Style.ERROR else sys.stdout
        out.write(line.text.encode(out.encoding, "replace").decode(out.encoding) + "\n")
        out.flush()

    def status(self, text: str) -> None:
        pass

    def on_typing(self, typing: Callable[[str], None]) -> None:
        pass


def _read_lines(stdin: int, loop: asyncio.AbstractEventLoop, to: "asyncio.Queue[str | None]") -> None:
    decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    try:
        # Not sys.stdin: a thread that waits in it stops the interpreter from leaving.
        while block := os.read(stdin, 65_536):
            *whole, rest = (rest + decoder.decode(block)).split("\n")
            for line in whole:
                asyncio.run_coroutine_threadsafe(to.put(line), loop).result()
        for last in ([rest] if rest else []) + [None]:
            asyncio.run_coroutine_threadsafe(to.put(last), loop).result()
    except RuntimeError:
        return  # the program has left meanwhile


class TerminalScreen:
    """A line to type in at the bottom, under it what is true now, and above it what was said."""

    def __init__(self) -> None:
        # Only here: a program in a pipe, or one that uses the library, has no need of it.
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.styles import Style as Sheet

        self._status = ""
        self._sheet = Sheet.from_dict(
            {
                Style.OWN.value: "ansigreen",
                Style.NOTE.value: "ansibrightblack",
                Style.ERROR.value: "ansired",
                "bottom-toolbar": "noreverse ansibrightblack",
            }
        )
        self._session: PromptSession[str] = PromptSession(
            erase_when_done=True,
            bottom_toolbar=lambda: self._status,
            completer=WordCompleter(list(NAMES), sentence=True),
            style=self._sheet,
        )

    async def read(self, prompt: str, secret: bool = False) -> str | None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.patch_stdout import patch_stdout

        try:
            if secret:
                return await PromptSession[str]().prompt_async(prompt, is_password=True)
            with patch_stdout():
                return await self._session.prompt_async(prompt)
        except (EOFError, KeyboardInterrupt):
            return None

    def show(self, line: Line) -> None:
        from prompt_toolkit import print_formatted_text
        from prompt_toolkit.formatted_text import FormattedText

        print_formatted_text(FormattedText([(f"class:{line.style.value}", line.text)]), style=self._sheet)

    def status(self, text: str) -> None:
        self._status = text
        self._session.app.invalidate()

    def on_typing(self, typing: Callable[[str], None]) -> None:
        self._session.default_buffer.on_text_changed += lambda buffer: typing(buffer.text)
