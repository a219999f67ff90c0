"""A file of SQLite: made whole or not at all, and checked before anything writes to it."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
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
    if path.exists() and not path.is_file():
        raise StartError(f"{path} cannot be used: it is not a file; move it away")
    try:
        if path.exists():
            path.chmod(0o600)  # first: SQLite gives the files beside it the same mode
            _check(path, version)
        else:
            _create(path, version, create)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error
    except OSError as error:
        raise _unusable(path, error) from error


def _create(path: Path, version: int, create: Callable[[Path], None]) -> None:
    # Under another name until it is complete: so a file without tables is always a damaged one, never a new one.
    new = path.with_name(path.name + ".new")
    for leftover in ("-journal", "-wal", "-shm", ""):
        new.with_name(new.name + leftover).unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    create(new)
    with closing(sqlite3.connect(new)) as connection, connection:
        connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        connection.execute("INSERT INTO schema_version VALUES (?)", (version,))
    # Of a file that is gone: SQLite would take it for the newest part of this one.
    for leftover in ("-journal", "-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(path: Path, version: int) -> None:
    # Read-only: what is damaged stays as it was found. The whole file is read; an embedded one is small.
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if verdict != ("ok",) or "schema_version" not in tables:
            raise _damaged(path)
        found = connection.execute("SELECT version FROM schema_version").fetchone()
    finally:
        connection.close()
    if found is None:
        raise _damaged(path)
    if found[0] != version:
        raise StartError(
            f"{path} has schema {found[0]}, this Stonechat knows schema {version}: run the version that wrote it; "
            "nothing was changed"
        )


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
