"""`stonechat chat` as a person starts it: a process on a terminal."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stonechat_client.cache.sqlite import SqliteCache
from tests.chat.scripts import PASSWORD

DEADLINE_SECONDS = 60


class Terminal:
    """The keyboard and the screen of a process."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.shown = ""
        self._master = master

    def types(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def sees(self, text: str) -> None:
        """Wait until a text was written to the terminal since the last look."""
        until = time.monotonic() + DEADLINE_SECONDS
        begin = len(self.shown)
        while text not in self.shown[begin:]:
            assert time.monotonic() < until, f"{text!r} is not in {self.shown[begin:]!r}"
            assert self._read(1.0) or self.process.poll() is None, f"it has ended: {self.shown[-2000:]!r}"

    def leaves(self) -> int:
        """Wait until it has ended; returns the exit code."""
        until = time.monotonic() + DEADLINE_SECONDS
        while self._read(0.2) or self.process.poll() is None:
            assert time.monotonic() < until, "it does not end"
        return self.process.wait()

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            block = os.read(self._master, 65_536)
        except OSError:  # Linux: nobody has the terminal open any more
            return False
        self.shown += block.decode(errors="replace")
        return bool(block)


@contextmanager
def at_a_terminal(*arguments: str, **environment: str) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 100))
    before = termios.tcgetattr(slave)
    others = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "svc", "chat", *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=others | {"TERM": "xterm-256color"} | environment,
        start_new_session=True,
    )
    try:
        yield Terminal(process, master)
        assert termios.tcgetattr(slave) == before, "the terminal is not as it was"
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize("leave", ["ctrl+q", "/quit", "SIGTERM"])
def test_a_person_signs_in_writes_and_leaves(server, tmp_path, alice, leave):
    arguments = ("--user", alice, "--server", server.url, "--register")
    with at_a_terminal(*arguments, XDG_DATA_HOME=str(tmp_path)) as terminal:
        terminal.sees("Sign in as")
        terminal.types(f"{PASSWORD}\r")
        terminal.sees("● live")
        match leave:
            case "ctrl+q":
                terminal.types("\x11")
            case "/quit":
                terminal.types("/quit\r")
            case _:
                terminal.process.send_signal(signal.SIGTERM)
        assert terminal.leaves() == 0
        assert "Traceback" not in terminal.shown
        assert "\x1b[?1049l" in terminal.shown  # back from the alternate screen
        assert PASSWORD not in terminal.shown


def test_a_cache_that_is_in_use_ends_the_start_with_a_word(server, tmp_path, alice):
    arguments = ("--user", alice, "--server", server.url, "--register")
    given = {"XDG_DATA_HOME": str(tmp_path), "STONECHAT_PASSWORD": PASSWORD}
    with at_a_terminal(*arguments, **given) as first:
        first.sees("● live")
        with at_a_terminal(*arguments, **given) as second:
            assert second.leaves() == 1
            assert "is in use by another program" in second.shown
            assert "Traceback" not in second.shown
        first.types("\x11")
        assert first.leaves() == 0


def test_one_types_as_fast_as_one_pastes(server, tmp_path, alice, bob):
    """Nothing overtakes anything: neither Enter the letters before it, nor a message the command before it."""
    with at_a_terminal(
        *("--user", bob, "--server", server.url, "--register"), XDG_DATA_HOME=str(tmp_path), STONECHAT_PASSWORD=PASSWORD
    ) as terminal:
        terminal.sees("● live")
        terminal.types("\x11")
        assert terminal.leaves() == 0
    with at_a_terminal(
        *("--user", alice, "--server", server.url, "--register"),
        XDG_DATA_HOME=str(tmp_path),
        STONECHAT_PASSWORD=PASSWORD,
    ) as terminal:
        terminal.sees("● live")
        terminal.types(f"/to {bob}\rone\rtwo\r/edit three\r/quit\r")
        assert terminal.leaves() == 0
        assert "Traceback" not in terminal.shown
    cache = SqliteCache(next(tmp_path.rglob(f"{alice}.sqlite")))
    direct = next(name for name in cache.spans() if name.startswith("d."))
    texts = [event.message.content for event in cache.events(direct, 4, 10) if event.HasField("message")]
    cache.close()
    assert texts == ["three", "one"]
