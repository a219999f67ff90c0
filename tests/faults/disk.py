"""A small disk of its own for a test: it can be filled, and made read-only."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_LEFT_OVER_BYTES = 1024


class Disk:
    """A tmpfs at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Take all the room there is."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 512):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def make_room(self) -> None:
        """Give it back."""
        self._ballast.unlink()

    def read_only(self) -> None:
        """Refuse every write from now on. Nothing may be open for writing."""
        _run("mount", "-o", "remount,ro", str(self.path))


@contextmanager
def small_disk(path: Path, size: str = "24m") -> Iterator[Disk]:
    """Mounted for as long as the block lasts. Skips the test when that is not allowed here, and says so."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it mounts a small tmpfs as the disk of the data folder")
    path.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    try:
        yield Disk(path)
    finally:
        _run("umount", "-l", str(path))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"needs the right to mount a small tmpfs: `{' '.join(command)}` says {done.stderr.strip()}")
