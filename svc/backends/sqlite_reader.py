"""A SQLite file opened for reading alone, whether others write to it or not, and one to sort in. Blocks: for commands, not for
services."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from svc.backends.sqlite import translate
from svc.kernel.errors import Unavailable

_BUSY_SECONDS = 5.0
_CACHE_KB = 32 * 1024


@contextmanager
def reading(path: Path, version: int = 1) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, in autocommit: `BEGIN` makes what follows see one moment. It changes nothing; SQLite
    may leave its (empty) files -wal and -shm beside it.

    Raises Unavailable when there is no such file, it cannot be read, is damaged, or has another schema version.
    """
    if not path.is_file():
        raise Unavailable(f"there is no {path}")
    try:
        connection = _open(path)
        try:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
            _check_version(connection, path, version)
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise translate(error, path) from error


@contextmanager
def scratch() -> Iterator[sqlite3.Connection]:
    """An empty database that lies on the disk, where temporary files do, as far as it is too large for memory; it is gone after
    the block. Raises Unavailable when there is no room for it."""
    try:
        with closing(sqlite3.connect("", isolation_level=None)) as connection:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
            yield connection
    except sqlite3.Error as error:
        raise Unavailable(f"what is read cannot be sorted ({error}): make room where temporary files lie") from error


def _open(path: Path) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        # On a disk that cannot be written to, and closed properly: all of it is in the one file, which nobody changes.
        connection = sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None)
    return connection


def _check_version(connection: sqlite3.Connection, path: Path, version: int) -> None:
    try:
        found = connection.execute("SELECT version FROM schema_version").fetchone()
    except sqlite3.OperationalError:
        found = None
    if found is None:
        raise Unavailable(f"{path} is no database of Stonechat")
    if found[0] != version:
        raise Unavailable(f"{path} has schema {found[0]}, this Stonechat reads schema {version}")
