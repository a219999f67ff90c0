"""The server under test: started here on a fresh data folder, or one that runs already."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench import backends, usage

START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_READY = re.compile(r"ready on (?:(http://\S+)|\S+:\d+)")
# What differs from the defaults, and why.
SETTINGS = {
    "STONECHAT_CALLS_PER_SECOND": "1000000",  # load is what is asked for
    "STONECHAT_PASSWORD_COST": "low",  # hundreds of accounts are made first; no password is checked while it is measured
    "STONECHAT_ACCESS_TOKEN_SECONDS": "86400",  # users sign in once, before all rungs
    "STONECHAT_DRAIN_SECONDS": "0",  # its end is not what is measured
    "STONECHAT_METRICS_LISTEN": "",  # no second port
    "STONECHAT_LOG_FORMAT": "json",
}
WHOLE: Mapping[str, Sequence[str]] = {"server": ()}
"""Everything in one process, messaging beside delivery: the shape for few cores."""
SPREAD: Mapping[str, Sequence[str]] = {
    "front": ("edge", "users", "groups", "history"),
    "messaging": ("messaging",),
    "delivery": ("delivery",),
}
"""The shape for many machines: what grows for itself is a process of its own. Needs all real back ends."""
_VICTIM = {"server", "messaging"}  # what `kill` kills: the one with the sessions
_SECRETS = {"STONECHAT_MASTER_KEYS", "STONECHAT_INNER_TOKEN"}


class ServerFailed(Exception):
    """The server did not start, or is not there; the text says what it said."""


class Server:
    """Where it is, and its processes if they are on this machine and known."""

    def __init__(
        self,
        url: str = "",
        pid: int | None = None,
        folder: Path | None = None,
        layout: Mapping[str, Sequence[str]] = WHOLE,
    ) -> None:
        self.url = url
        self.changed: dict[str, str] = {}
        """Its settings that differ from the defaults, other than where it listens and keeps its data, and no secrets."""
        self._folder = folder
        self._layout = layout
        self._known = {} if pid is None else {"server": pid}
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._settings: dict[str, str] = {}

    @property
    def ours(self) -> bool:
        """Whether it was started here, and may be killed."""
        return bool(self._started)

    @property
    def ended(self) -> int | None:
        """The exit code of a process that was started here and has ended."""
        return next((code for process in self._started.values() if (code := process.poll()) is not None), None)

    @property
    def shape(self) -> str:
        """What was measured: `embedded`, `real` for one process on real back ends, `spread` for several; `unknown` when it is
        not ours."""
        if not self.ours:
            return "unknown"
        return "spread" if len(self._layout) > 1 else "real" if backends.fresh(self._settings) else "embedded"

    def last_words(self) -> str:
        """The end of its logs."""
        found = [
            log.read_text(errors="replace").splitlines()[-10:] for log in map(self._log, self._layout) if log.exists()
        ]
        return "\n".join(line for lines in found for line in lines)

    def _log(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{name}.log.jsonl"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    def parts(self) -> dict[str, int]:
        """The process id of each part of it; nothing when its processes are not known."""
        pids = {name: process.pid for name, process in self._started.items()} or self._known
        parts: dict[str, int] = {}
        for name, pid in pids.items():
            parts |= usage.tree(name, pid)
        return parts

    def backends(self) -> dict[str, int]:
        """The process id of each real back end that it has on this machine."""
        return backends.processes(self._settings)

    async def start(self) -> None:
        """Start what does not run of it: at first on empty back ends, later on the same address and data. Raises
        ServerFailed."""
        if not self._settings:
            try:
                self._settings = SETTINGS | backends.given() | backends.fresh(backends.given())
            except ValueError as error:
                raise ServerFailed(f"a back end's address is wrong: {error}") from None
            self.changed = {name: value for name, value in self._settings.items() if name not in _SECRETS}
            await self._migrate()
        for name, roles in self._layout.items():
            if name not in self._started or self._started[name].poll() is not None:
                await self._start(name, roles)

    async def _migrate(self) -> None:
        if not {"STONECHAT_CASSANDRA", "STONECHAT_MYSQL"} & self._settings.keys():
            return
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "svc", "migrate"],
            env=self._environment(next(iter(self._layout))),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if done.returncode:
            raise ServerFailed(f"stonechat migrate failed: {done.stderr.strip()}")

    def _environment(self, name: str) -> dict[str, str]:
        others = {variable: value for variable, value in os.environ.items() if not variable.startswith("STONECHAT_")}
        listen = {"STONECHAT_LISTEN": self.url or "http://127.0.0.1:0", "STONECHAT_DATA_DIR": f"{self._folder}/{name}"}
        return others | self._settings | listen

    async def _start(self, name: str, roles: Sequence[str]) -> None:
        assert self._folder is not None
        out = self._folder / f"{name}.out.txt"
        with out.open("wb") as stdout, self._log(name).open("ab") as stderr:
            process = self._started[name] = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond, and outlives any event loop
                [sys.executable, "-m", "svc", "serve", *roles],
                env=self._environment(name),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if found := _READY.search(out.read_text()):
                self.url = found[1] or self.url
                return
            await asyncio.sleep(_LOOK_SECONDS)
        raise ServerFailed(f"the server did not start; its log ends:\n{self.last_words()}")

    async def kill(self) -> None:
        """SIGKILL the Python process that has the sessions. Its Envoy goes with it; returns when both have."""
        name, process = next((name, process) for name, process in self._started.items() if name in _VICTIM)
        parts = usage.tree(name, process.pid)
        process.send_signal(signal.SIGKILL)
        await asyncio.to_thread(process.wait, _STOP_SECONDS)
        deadline = time.monotonic() + _STOP_SECONDS
        while any(map(_runs, parts.values())) and time.monotonic() < deadline:  # noqa: ASYNC110 - other processes
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> None:
        """End it, if it was started here."""
        for process in self._started.values():
            if process.poll() is None:
                process.terminate()
        for process in self._started.values():
            try:
                await asyncio.to_thread(process.wait, _STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@asynccontextmanager
async def serving(
    url: str | None, pid: int | None, layout: Mapping[str, Sequence[str]] = WHOLE
) -> AsyncIterator[Server]:
    """The server at `url`, or one of its own for as long as the block lasts, on a data folder that goes with it and on the real
    back ends that the environment names. Raises ServerFailed."""
    if url is not None:
        yield Server(url, pid)
        return
    with tempfile.TemporaryDirectory(prefix="stonechat-bench-", ignore_cleanup_errors=True) as folder:
        server = Server(folder=Path(folder), layout=layout)
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
