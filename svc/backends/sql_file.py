"""A file of SQLite: made whole or not at all, and checked before anything writes to it."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from svc.kernel.errors import StartError

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def primary_code(error: BaseException) -> int:
    """SQLite's primary result code of an error, 0 when it has none (https://sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def prepare(path: Path, version: int, create: Callable[[Path], None]) -> None:
    """See to it that `path` is a sound database of this schema version, readable by its owner only. Blocks.

    A missing one is made: `create` puts the tables into an empty file. Raises StartError when it is damaged, of another
    version, or cannot be used; then nothing was changed.
    """

    def made(new: Path) -> None:
        create(new)
        with closing(sqlite3.connect(new)) as connection, connection:
            connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
            connection.execute("INSERT INTO schema_version VALUES (?)", (version,))

    found = make_or_check(path, made, {"schema_version": "version"})
    if found is not None and found != version:
        raise other_version(path, found, version)


def make_or_check(path: Path, create: Callable[[Path], None], versions: Mapping[str, str]) -> int | None:
    """See to it that `path` is a sound database, readable by its owner only; its version, None when it was made now. Blocks.

    A missing one is made: `create` puts all into an empty file. `versions` are the tables that may say the version, each with
    its column; the first that is there counts. Raises StartError when it is damaged or cannot be used, and nothing was changed.
    """
    if path.exists() and not path.is_file():
        raise StartError(f"{path} cannot be used: it is not a file; move it away")
    with usable(path):
        if path.exists():
            path.chmod(0o600)  # first: SQLite gives the files beside it the same mode
            return _check(path, versions)
        _create(path, create)
        return None


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Tells what goes wrong with the file in the block as a StartError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _unusable(path, error) from error


def other_version(path: Path, found: int, known: int) -> StartError:
    """A file that this program must not touch."""
    return StartError(
        f"{path} has schema {found}, this Stonechat knows schema {known}: run the version that wrote it; "
        "nothing was changed"
    )


def _create(path: Path, create: Callable[[Path], None]) -> None:
    # Under another name until it is complete: so a file without tables is always a damaged one, never a new one.
    new = path.with_name(path.name + ".new")
    for leftover in ("-journal", "-wal", "-shm", ""):
        new.with_name(new.name + leftover).unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    create(new)
    # Of a file that is gone: SQLite would take it for the newest part of this one.
    for leftover in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(path: Path, versions: Mapping[str, str]) -> int:
    # Read-only: what is damaged stays as it was found. The whole file is read; an embedded one is small.
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        table = next((each for each in versions if each in tables), None)
        if verdict != ("ok",) or table is None:
            raise _damaged(path)
        found = connection.execute(f"SELECT {versions[table]} FROM {table}").fetchone()  # noqa: S608 - constants
    finally:
        connection.close()
    if found is None:
        raise _damaged(path)
    return int(found[0])


def _damaged(path: Path) -> StartError:
    return StartError(f"{path} is damaged: restore it from a backup or move it away; nothing was changed")


def _unusable(path: Path, error: BaseException) -> StartError:
    code = primary_code(error)
    if code in _DAMAGED:
        return _damaged(path)
    if code == sqlite3.SQLITE_FULL:
        return StartError(f"{path} cannot be written: the disk is full; make room and start again")
    if code == sqlite3.SQLITE_IOERR:
        return StartError(f"{path} cannot be read or written ({error}): see whether the disk is full or faulty")
    return StartError(f"{path} cannot be used ({error}): make it readable and writable for this user")
