"""CPU and memory of processes, by their part in the whole."""

import contextlib
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class Used:
    """What a process has used since it began."""

    cpu_s: float
    """User and system."""
    switches: int
    """Context switches, voluntary and not, of all its threads."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What every process had used at one moment, by its part."""

    at: float
    used: Mapping[str, Used]
    machine_s: float
    """CPU seconds that the whole machine was busy for, since it started."""


def tree(part: str, pid: int) -> dict[str, int]:
    """A process as `part`, and its children by name. Raises ProcessLookupError."""
    try:
        root = psutil.Process(pid)
        parts = {part: root.pid}
        for child in root.children(recursive=True):
            name = child.name()
            while name in parts:
                name += "'"
            parts[name] = child.pid
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(f"no process {error.pid}") from None
    return parts


def used(parts: Mapping[str, Iterable[int]]) -> Snapshot:
    """What the processes of each part have used; one that has ended counts nothing."""
    at = time.monotonic()
    found = {}
    for part, pids in parts.items():
        cpu, switches = 0.0, 0
        for pid in pids:
            try:
                process = psutil.Process(pid)
                times, counted = process.cpu_times(), _switches(process)
            except psutil.NoSuchProcess:
                continue
            cpu += times.user + times.system
            switches += counted
        found[part] = Used(cpu, switches)
    machine = psutil.cpu_times()
    return Snapshot(at, found, sum(getattr(machine, kind, 0.0) for kind in _BUSY))


def others(before: Snapshot, after: Snapshot) -> float:
    """How many cores everything else on the machine kept busy meanwhile, the work of the kernel for nobody included."""
    ours = sum(after.used[part].cpu_s - before.used[part].cpu_s for part in after.used if part in before.used)
    return max(0.0, (after.machine_s - before.machine_s - ours) / (after.at - before.at))


def _switches(process: psutil.Process) -> int:
    # psutil's own count is that of the main thread; Envoy works in others.
    count = 0
    for thread in process.threads():
        with contextlib.suppress(OSError):  # a thread that has ended meanwhile
            status = Path(f"/proc/{process.pid}/task/{thread.id}/status").read_text()
            count += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", status)))
    return count


def between(before: Snapshot, after: Snapshot, messages: int) -> dict[str, dict[str, Any]]:
    """For each part: µs of CPU and context switches a message, and the share of one core."""
    seconds = after.at - before.at
    count = max(1, messages)
    return {
        part: {
            "us_per_message": (after.used[part].cpu_s - before.used[part].cpu_s) * 1e6 / count,
            "switches_per_message": (after.used[part].switches - before.used[part].switches) / count,
            "core_share": (after.used[part].cpu_s - before.used[part].cpu_s) / seconds,
        }
        for part in after.used
        if part in before.used
    }


def resident(pid: int) -> int:
    """RSS of a process, in bytes; 0 when it has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def descriptors(pid: int) -> int:
    """Files and sockets that a process has open; 0 when it has ended."""
    try:
        return int(psutil.Process(pid).num_fds())
    except psutil.NoSuchProcess:
        return 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process in bytes: resident, and proportional (shared pages counted in shares)."""

    rss: int
    pss: int


def memory(pid: int) -> Memory:
    """Of a process; zeros when it has ended. Where the system does not tell the proportional size it is the resident one."""
    try:
        process = psutil.Process(pid)
        full = process.memory_full_info()
    except psutil.NoSuchProcess:
        return Memory(0, 0)
    return Memory(full.rss, getattr(full, "pss", full.rss))
