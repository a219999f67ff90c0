"""`stonechat serve` as a process of its own, Envoy included: started, killed, looked into."""

import asyncio
import inspect
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

COMMAND = str(Path(sysconfig.get_path("scripts"), "stonechat"))
START_SECONDS = 60.0
_READY = re.compile(r"Stonechat is ready on (\S+)")
_LOOK_SECONDS = 0.02


async def until(condition: Callable[[], Any | Awaitable[Any]], what: str, seconds: float = 60.0) -> Any:
    """Wait for a condition, and return what it gave. TimeoutError saying `what` did not come true."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"in {seconds:.0f} s it did not come true that {what}")
        await asyncio.sleep(_LOOK_SECONDS)


def alive(pid: int) -> bool:
    """A process that runs (one that has ended and waits for its parent does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def resident_kb(pid: int) -> int:
    """Memory of a process that is in RAM."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


class Server:
    """One process on one data folder: the product, or those services of it that `roles` name. `settings` are environment
    variables without their prefix."""

    def __init__(self, folder: Path, roles: Sequence[str] = (), **settings: str) -> None:
        self.folder = folder
        self.roles = roles
        self.rig = ""
        """What is rigged in the next run (`tests.faults.rigged`)."""
        self.data = folder / "data"
        self.settings = {"DATA_DIR": str(self.data), "LISTEN": "http://127.0.0.1:0"} | settings
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self._stdout, self._stderr = folder / "stdout.txt", folder / "stderr.txt"
        self._stdout.touch()
        self._stderr.touch()
        self._stdout_from = self._stderr_from = 0

    def environment(self) -> dict[str, str]:
        """What the command and its siblings are started with."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("STONECHAT_")}
        chosen = {
            "METRICS_LISTEN": "",
            "PASSWORD_COST": "low",
            "LOG_FORMAT": "json",
            "DRAIN_SECONDS": "1",
            "CALLS_PER_SECOND": "1000000",
        } | self.settings
        return ours | {f"STONECHAT_{name}": value for name, value in chosen.items()}

    def launch(self) -> None:
        """Start the process, in a process group of its own; does not wait for it."""
        self._stdout_from, self._stderr_from = self._stdout.stat().st_size, self._stderr.stat().st_size
        with self._stdout.open("ab") as out, self._stderr.open("ab") as err:
            self.process = subprocess.Popen(
                [*self._program(), "serve", *self.roles],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    async def start(self) -> None:
        """Return when it serves. From then on it keeps its address, also over restarts."""
        self.launch()
        await until(lambda: self._ready() or self.code() is not None, "the server is ready", START_SECONDS)
        if self.code() is not None:
            raise RuntimeError(f"the server left with code {self.code()}:\n{self.errors()}")
        self.url = self._ready()
        if self.url.startswith("http"):
            self.settings["LISTEN"] = self.url

    def code(self) -> int | None:
        """The exit code, negative for a signal, None while it runs."""
        return None if self.process is None else self.process.poll()

    def _program(self) -> list[str]:
        return [sys.executable, "-m", "tests.faults.rigged", self.rig] if self.rig else [COMMAND]

    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    async def ended(self, seconds: float = 60.0) -> int:
        """Wait for its end; returns the exit code."""
        await until(lambda: self.code() is not None, "the server has ended", seconds)
        code = self.code()
        assert code is not None
        return code

    @property
    def pid(self) -> int:
        """The Python process."""
        assert self.process is not None
        return self.process.pid

    def envoy(self) -> int | None:
        """The process id of the Envoy of this server, while it has one."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                name, _, rest = stat.read_text().rpartition(")")
                state, parent = rest.split()[:2]
                if int(parent) == self.pid and state != "Z" and "envoy" in name:
                    return int(stat.parent.name)
        return None

    def signal(self, number: signal.Signals) -> None:
        """Signal the Python process alone."""
        os.kill(self.pid, number)

    def kill(self, pid: int) -> None:
        """SIGKILL one process of this server."""
        assert pid in (self.pid, self.envoy())
        os.kill(pid, signal.SIGKILL)

    def kill_group(self) -> None:
        """SIGKILL everything in the server's process group; Envoy has one of its own and must go by itself."""
        os.killpg(self.pid, signal.SIGKILL)

    async def gone(self, envoy: int | None) -> None:
        """Wait until the process and its Envoy have gone and the address is free."""
        await self.ended()
        await until(lambda: envoy is None or not alive(envoy), "Envoy has gone with its server")
        await until(self._address_is_free, f"{self.url} is free")

    async def stop(self) -> int:
        """SIGTERM, and the exit code. Does nothing to a server that has ended."""
        if self.code() is None:
            self.signal(signal.SIGTERM)
        return await self.ended()

    def discard(self) -> None:
        """Whatever state it is in: end it."""
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGCONT)
                self.kill_group()
            self.process.wait(30)

    def errors(self) -> str:
        """What the newest run has said on stderr."""
        with self._stderr.open("rb") as file:
            file.seek(self._stderr_from)
            return file.read().decode()

    def log(self, *levels: str) -> list[dict[str, Any]]:
        """The log lines of the newest run, of these levels or all."""
        whole, _, _ = self.errors().rpartition("\n")  # the last may be half written
        lines = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [line for line in lines if not levels or line["level"] in levels]

    def said(self, part: str) -> bool:
        """Whether a log line of the newest run holds this text."""
        return any(part in json.dumps(line, ensure_ascii=False) for line in self.log())

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """Run another `stonechat` command with the same settings: (exit code, stdout, stderr)."""
        process = await asyncio.create_subprocess_exec(
            COMMAND,
            *arguments,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), START_SECONDS)
        return process.returncode or 0, out.decode(), err.decode()

    async def refused(self) -> str:
        """Start it, expecting a refusal: exit code 1, one clear line and nothing else. Returns the line."""
        self.launch()
        await until(lambda: self._ready() or self.code() is not None, "the start is decided", START_SECONDS)
        assert self.code() == 1, f"it did not refuse to start: {self.code()} {self.errors()}"
        lines = [line for line in self.errors().splitlines() if not line.startswith("{")]
        assert len(lines) == 1, self.errors()
        assert lines[0].startswith("stonechat: ")
        assert "Traceback" not in self.errors()
        return lines[0]

    def _ready(self) -> str:
        with self._stdout.open("rb") as file:
            file.seek(self._stdout_from)
            found = _READY.search(file.read().decode())
        return found[1] if found else ""

    def _address_is_free(self) -> bool:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, int(port)))
            except OSError:
                return False
        return True
