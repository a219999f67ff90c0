"""The board of switches of a single process: a file in its data folder, a name a line."""

import asyncio
from pathlib import Path

from svc.kernel.errors import Unavailable

FILE = "switched-off"


class FileBoard:
    """Serves `Board`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    async def read(self) -> frozenset[str]:
        return await asyncio.to_thread(self._read)

    async def set(self, name: str, on: bool) -> None:
        await asyncio.to_thread(self._set, name, on)

    def _read(self) -> frozenset[str]:
        try:
            return frozenset(self._path.read_text(encoding="utf-8").split())
        except FileNotFoundError:
            return frozenset()
        except (OSError, UnicodeDecodeError) as error:
            raise Unavailable(f"{self._path} cannot be read ({error})") from error

    def _set(self, name: str, on: bool) -> None:
        names = self._read() - {name} if on else self._read() | {name}
        new = self._path.with_suffix(".new")
        try:
            new.write_text("".join(f"{one}\n" for one in sorted(names)), encoding="utf-8")
            new.replace(self._path)  # whoever reads sees the one or the other
        except OSError as error:
            raise Unavailable(f"{self._path} cannot be written ({error})") from error
