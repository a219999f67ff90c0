"""What a device remembers beside its cache, so that a start without a connection shows names. All of it can be had again."""

import json
import os
from contextlib import suppress
from pathlib import Path

_MOST = 10_000


class Known:
    """Names of users and groups by id, and how far others have read. Kept in a JSON file, or for as long as the program runs
    when `path` is None. A file that cannot be read counts as empty."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.users: dict[str, str] = {}
        self.groups: dict[str, str] = {}
        self.read: dict[str, int] = {}
        """Up to which seq somebody else has read, by conversation."""
        self._saved = ""
        if path is not None:
            with suppress(OSError, ValueError, LookupError, AttributeError, TypeError):
                self._load(path.read_text("utf-8"))

    def _load(self, text: str) -> None:
        kept = json.loads(text)
        users = {str(key): str(name) for key, name in kept["users"].items()}
        groups = {str(key): str(name) for key, name in kept["groups"].items()}
        read = {str(key): int(seq) for key, seq in kept["read"].items()}
        self.users, self.groups, self.read, self._saved = users, groups, read, text

    def save(self) -> None:
        """Write it down if it has changed. A disk that does not take it is no reason to stop."""
        if self._path is None:
            return
        for entries in (self.users, self.groups, self.read):
            for key in list(entries)[: max(0, len(entries) - _MOST)]:
                del entries[key]
        text = json.dumps({"users": self.users, "groups": self.groups, "read": self.read}, ensure_ascii=False)
        if text == self._saved:
            return
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside = self._path.with_suffix(".new")
            with os.fdopen(
                os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as file:
                file.write(text)
            beside.replace(self._path)
            self._saved = text
