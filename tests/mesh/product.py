"""The whole product as a user runs it: `stonechat serve` in a process of its own, Envoy included."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svc.controlplane.adapters.admin import Admin
from svc.controlplane.wire.names import ADMIN_SOCKET

_READY = re.compile(r"ready on (http://\S+)")
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_LONGEST_LINE = 1024 * 1024


@dataclass
class Product:
    """A running `stonechat serve`."""

    url: str
    data_dir: Path
    metrics_url: str
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> str:
        """`host:port` of the edge."""
        return self.url.removeprefix("http://")

    @property
    def envoy(self) -> Admin:
        """What Envoy says of itself."""
        return Admin(self.data_dir / "run" / ADMIN_SOCKET)

    @property
    def environment(self) -> dict[str, str]:
        """For commands of its operator."""
        return _environment(self.data_dir, {})

    def metrics(self) -> dict[str, float]:
        """Every metric of the process, by name with labels."""
        with urllib.request.urlopen(self.metrics_url, timeout=10) as page:
            lines = page.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def rss_kb(self) -> int:
        """Resident memory of the Python process (Linux; elsewhere 0)."""
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmRSS:\s+(\d+)", status.read_text()) if status.exists() else None
        return int(found[1]) if found else 0

    def log_end(self) -> int:
        """Where the next line of its log will begin, in bytes."""
        with (self.data_dir / "log.jsonl").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = file.seek(max(0, size - _LONGEST_LINE))
            return size - len(file.read(size - start).rpartition(b"\n")[2])  # not what was written since

    def log(self, start: int = 0) -> list[dict[str, Any]]:
        """The lines of its log from a place on. What is no JSON (a library's own words, a traceback) stands under `text`."""
        with (self.data_dir / "log.jsonl").open("rb") as file:
            file.seek(start)
            text = file.read().decode(errors="replace")
        lines = text.rpartition("\n")[0].splitlines()  # the last may be half written
        return [json.loads(line) if line.startswith("{") else {"text": line} for line in lines]

    def stop(self) -> int:
        """SIGTERM, and wait; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)


@contextmanager
def product(data_dir: Path, **settings: str) -> Iterator[Product]:
    """Serve for as long as the block lasts. `settings` are environment variables without `STONECHAT_`."""
    metrics = f"127.0.0.1:{_free_port()}"
    environment = _environment(data_dir, {"METRICS_LISTEN": metrics, **settings})
    out, log = data_dir / "out.txt", data_dir / "log.jsonl"
    with out.open("wb") as stdout, log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "svc", "serve"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            process_group=0,
        )
    try:
        yield Product(_await_ready(process, out, log), data_dir, f"http://{metrics}/metrics", process)
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(data_dir: Path, settings: dict[str, str]) -> dict[str, str]:
    ours = {
        "DATA_DIR": str(data_dir),
        "LISTEN": "http://127.0.0.1:0",
        "PASSWORD_COST": "low",
        "LOG_FORMAT": "json",
        "DRAIN_SECONDS": "0",
        "TRACE_RATIO": "0",
        **settings,
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("STONECHAT_")}
    return others | {f"STONECHAT_{name}": value for name, value in ours.items()}


def _await_ready(process: subprocess.Popen[bytes], out: Path, log: Path) -> str:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if found := _READY.search(out.read_text()):
            return found[1]
        time.sleep(_LOOK_SECONDS)
    raise AssertionError(f"the product did not start:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
