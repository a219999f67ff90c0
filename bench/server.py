"""The server under test: started here on a fresh data folder, or one that runs already."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench import usage

START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_READY = re.compile(r"ready on (http://\S+)")
# What differs from the defaults, and why.
SETTINGS = {
    "STONECHAT_CALLS_PER_SECOND": "1000000",  # load is what is asked for
    "STONECHAT_PASSWORD_COST": "low",  # hundreds of accounts are made first; no password is checked while it is measured
    "STONECHAT_ACCESS_TOKEN_SECONDS": "86400",  # users sign in once, before all rungs
    "STONECHAT_DRAIN_SECONDS": "0",  # its end is not what is measured
    "STONECHAT_METRICS_LISTEN": "",  # no second port
    "STONECHAT_LOG_FORMAT": "json",
}


class ServerFailed(Exception):
    """The server did not start, or is not there; the text says what it said."""


class Server:
    """Where it is, and its processes if they are on this machine and known."""

    def __init__(self, url: str = "", pid: int | None = None, folder: Path | None = None) -> None:
        self.url = url
        self.pid = pid
        self.changed: dict[str, str] = {}
        """Its settings that differ from the defaults, other than where it listens and keeps its data."""
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ours(self) -> bool:
        """Whether it was started here, and may be killed."""
        return self._process is not None

    @property
    def ended(self) -> int | None:
        """The exit code of one that was started here and has ended."""
        return None if self._process is None else self._process.poll()

    def last_words(self) -> str:
        """The end of its log."""
        log = self._log()
        return "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else ""

    def _log(self) -> Path:
        assert self._folder is not None
        return self._folder / "log.jsonl"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    def parts(self) -> dict[str, int]:
        """The process id of each part of it; nothing when its processes are not known."""
        return usage.tree(self.pid) if self.pid is not None else {}

    async def start(self) -> None:
        """Start it; when it ran before, on the same address and data. Raises ServerFailed."""
        assert self._folder is not None
        out, log = self._folder / "out.txt", self._log()
        listen = self.url or "http://127.0.0.1:0"
        others = {name: value for name, value in os.environ.items() if not name.startswith("STONECHAT_")}
        given = {name: value for name, value in os.environ.items() if name.startswith("STONECHAT_")}
        self.changed = SETTINGS | given
        places = {"STONECHAT_LISTEN": listen, "STONECHAT_DATA_DIR": str(self._folder / "data")}
        with out.open("wb") as stdout, log.open("ab") as stderr:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, and outlives any event loop
                [sys.executable, "-m", "svc", "serve"],
                env=others | self.changed | places,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if found := _READY.search(out.read_text()):
                self.url = found[1]
                return
            await asyncio.sleep(_LOOK_SECONDS)
        raise ServerFailed(f"the server did not start; its log ends:\n{self.last_words()}")

    async def kill(self) -> None:
        """SIGKILL its Python process. Envoy goes with it; returns when both have."""
        assert self._process is not None
        parts = self.parts()
        self._process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(self._process.wait, _STOP_SECONDS)
        deadline = time.monotonic() + _STOP_SECONDS
        while any(map(_runs, parts.values())) and time.monotonic() < deadline:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> None:
        """End it, if it was started here."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, _STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def serving(url: str | None, pid: int | None) -> AsyncIterator[Server]:
    """The server at `url`, or one of its own for as long as the block lasts, on a data folder that goes with it. Raises
    ServerFailed."""
    if url is not None:
        yield Server(url, pid)
        return
    with tempfile.TemporaryDirectory(prefix="stonechat-bench-", ignore_cleanup_errors=True) as folder:
        server = Server(folder=Path(folder))
        try:
            await server.start()
            yield server
        except Exception as error:
            if server.ended is None:
                raise
            raise ServerFailed(
                f"the server ended with code {server.ended} while it was measured; its log ends:\n{server.last_words()}"
            ) from error
        finally:
            await server.stop()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
