"""Ledger files, sorted by conversation in a temporary database on the disk: memory does not grow with what clients wrote."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from svc.backends.sqlite_reader import scratch
from svc.verify.ledgers import LedgerError, parse
from svc.verify.testimony import Began, From, Ledger, Left, Problem, Said, Saw, Sent

PATTERN = "*.ledger"
_LONGEST_LINE = 1 << 20
_INSERTED_TOGETHER = 1000

_COLUMNS = """conversation_id TEXT NOT NULL, ledger INTEGER NOT NULL, line INTEGER NOT NULL, session INTEGER NOT NULL,
  kind TEXT NOT NULL, seq INTEGER NOT NULL, one TEXT NOT NULL, two TEXT NOT NULL"""
# Read in the order of files, then sorted once: rows that go to their places one by one cost many times more.
_SCHEMA = f"""
CREATE TABLE ledgers (ledger INTEGER PRIMARY KEY, user_id TEXT NOT NULL);
CREATE TABLE unsorted ({_COLUMNS});
CREATE TABLE said ({_COLUMNS}, PRIMARY KEY (conversation_id, ledger, line)) WITHOUT ROWID;
CREATE TABLE problems (ledger INTEGER NOT NULL, line INTEGER NOT NULL,
  kind TEXT NOT NULL, conversation_id TEXT NOT NULL, seq INTEGER NOT NULL, text TEXT NOT NULL);
"""
_SORT = """
INSERT INTO said SELECT * FROM unsorted ORDER BY conversation_id, ledger, line;
DROP TABLE unsorted;
CREATE INDEX by_place ON said (conversation_id, seq) WHERE kind IN ('saw', 'sent');
"""
_SAID = "SELECT ledger, session, line, kind, conversation_id, seq, one, two FROM said"
_IN_ORDER = f"{_SAID} WHERE conversation_id = ? ORDER BY ledger, line"
_BY_PLACE = f"{_SAID} WHERE conversation_id = ? AND kind IN ('saw', 'sent') ORDER BY seq"
_BY_SEND = (
    f"""{_SAID} JOIN ledgers USING (ledger) WHERE conversation_id = ? AND kind = 'sent' ORDER BY user_id, one, seq"""
)
_NEXT = "SELECT min(conversation_id) FROM said WHERE conversation_id > ?"
_PROBLEMS = "SELECT ledger, line, kind, conversation_id, seq, text FROM problems ORDER BY ledger, line"


def files(paths: Iterable[Path]) -> list[Path]:
    """The ledger files: those named, and those in the folders named (`*.ledger`). Raises LedgerError when there are none."""
    found: set[Path] = set()
    for path in paths:
        inside = list(path.rglob(PATTERN)) if path.is_dir() else [path]
        if not inside:
            raise LedgerError(f"{path} holds no ledger: no file in it is named {PATTERN}")
        found.update(inside)
    return sorted(found)


class LedgerFiles:
    """Serves `Testimony`."""

    def __init__(self, connection: sqlite3.Connection, progress: Callable[[str], None]) -> None:
        self._connection = connection
        self._progress = progress
        self._ledgers: dict[int, Ledger] = {}
        self._lines = 0

    def read(self, paths: Iterable[Path]) -> None:
        """Take in what the files hold now. Raises LedgerError."""
        self._connection.executescript(_SCHEMA)
        self._connection.execute("BEGIN")
        for number, path in enumerate(paths, start=1):
            try:
                with path.open("rb") as file:
                    self._take(number, str(path), file)
            except OSError as error:
                raise LedgerError(f"{path} cannot be read: {error.strerror}") from error
        self._connection.execute("COMMIT")
        self._connection.executescript(_SORT)

    def _take(self, number: int, place: str, file: BinaryIO) -> None:
        session = 0
        rows: list[tuple[Any, ...]] = []
        for line, what in parse(place, _lines(place, file)):
            if isinstance(what, Began):
                session += 1
                if session == 1:
                    self._ledgers[number] = Ledger(number, place, what.user_id, what.at_us)
                    self._connection.execute("INSERT INTO ledgers VALUES (?, ?)", (number, what.user_id))
            elif isinstance(what, Problem):
                problem = (number, line, what.kind, what.conversation_id, what.seq, what.text)
                self._connection.execute("INSERT INTO problems VALUES (?, ?, ?, ?, ?, ?)", problem)
            else:
                rows.append((what.conversation_id, number, line, session, *_columns(what)))
            if len(rows) == _INSERTED_TOGETHER:
                self._insert(rows)
        self._insert(rows)

    def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        self._connection.executemany("INSERT INTO unsorted VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._lines += len(rows)
        rows.clear()
        self._progress(f"{len(self._ledgers):,} ledgers   {self._lines:,} lines")

    def ledgers(self) -> list[Ledger]:
        return list(self._ledgers.values())

    def next_conversation(self, after: str) -> str | None:
        found: str | None = self._connection.execute(_NEXT, (after,)).fetchone()[0]
        return found

    def in_order(self, conversation_id: str) -> Iterator[Said]:
        return self._said(_IN_ORDER, conversation_id)

    def by_place(self, conversation_id: str) -> Iterator[Said]:
        return self._said(_BY_PLACE, conversation_id)

    def by_send(self, conversation_id: str) -> Iterator[Said]:
        return self._said(_BY_SEND, conversation_id)

    def problems(self) -> Iterator[tuple[str, Problem]]:
        for number, line, *rest in self._connection.execute(_PROBLEMS):
            yield f"{self._ledgers[number].place}:{line}", Problem(*rest)

    def _said(self, statement: str, conversation_id: str) -> Iterator[Said]:
        for number, session, line, *columns in self._connection.execute(statement, (conversation_id,)):
            yield Said(self._ledgers[number], session, line, _what(*columns))


def _columns(what: From | Saw | Sent | Left) -> tuple[Any, ...]:
    match what:
        case Saw(_, seq, digest):
            return "saw", seq, digest, ""
        case Sent(_, seq, key, message):
            return "sent", seq, key, message
        case From(_, seq):
            return "from", seq, "", ""
        case Left(_, seq):
            return "left", seq, "", ""


def _what(kind: str, name: str, seq: int, one: str, two: str) -> From | Saw | Sent | Left:
    match kind:
        case "saw":
            return Saw(name, seq, one)
        case "sent":
            return Sent(name, seq, one, two)
        case "from":
            return From(name, seq)
        case _:
            return Left(name, seq)


def _lines(place: str, file: BinaryIO) -> Iterator[bytes]:
    """The lines that the file has now: what a client adds meanwhile may be about what is read of the store too early."""
    left = os.fstat(file.fileno()).st_size
    number = 0
    while left > 0 and (line := file.readline(min(left, _LONGEST_LINE))):
        number += 1
        left -= len(line)
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            raise LedgerError(f"{place}:{number}: a line of more than {_LONGEST_LINE} bytes: it is no ledger")
        yield line


@contextmanager
def open_ledgers(paths: Iterable[Path], progress: Callable[[str], None]) -> Iterator[LedgerFiles]:
    """The ledgers in these files and folders, read; `progress` is told how far that is.

    Raises LedgerError, and Unavailable when there is no room to sort them.
    """
    with scratch() as connection:
        testimony = LedgerFiles(connection, progress)
        testimony.read(files(paths))
        yield testimony
