"""The file of a `SqliteCache`: how it is opened for one program alone, what stands in it, and what its errors mean."""

import errno
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from stonechat_client.errors import CacheUnusable

VERSION = 1
# "stch", so that a file of another program is known for what it is: https://www.sqlite.org/pragma.html#pragma_application_id
_APPLICATION_ID = 0x73746368
_LOSS = (
    "It may be deleted: everything that was sent is stored at the server and can be read again; the sign-in, and messages that "
    "still waited to be sent, are lost"
)
_SCHEMA = f"""
CREATE TABLE owner (user_id TEXT NOT NULL, device_user_id TEXT NOT NULL, device_id TEXT NOT NULL, refresh_token TEXT NOT NULL);
INSERT INTO owner VALUES ('', '', '', '');
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, first INTEGER NOT NULL, last INTEGER NOT NULL, moved INTEGER NOT NULL
);
CREATE TABLE events (
    conversation INTEGER NOT NULL, seq INTEGER NOT NULL, event BLOB NOT NULL, PRIMARY KEY (conversation, seq)
) WITHOUT ROWID;
CREATE TABLE queue (
    number INTEGER PRIMARY KEY, client_message_id TEXT NOT NULL UNIQUE, destination TEXT NOT NULL, content TEXT NOT NULL,
    queued_at REAL NOT NULL, tried_at REAL NOT NULL
);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""  # noqa: S608 - made of constants


def open_file(path: Path) -> sqlite3.Connection:
    """Open the cache, or make it: the file, which only its owner can read, and its folder. Raises CacheUnusable."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):  # SQLite would let others read it
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(path, timeout=0.0, isolation_level=None)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        raise CacheUnusable(f"{path} cannot be opened as a cache: {error.strerror}") from error
    except sqlite3.Error as error:
        raise CacheUnusable(why_unusable(error, path)) from error
    return connection


def failure(error: Exception, path: Path) -> OSError:
    """What it means that a cache that was open cannot be read or written any more."""
    code = errno.ENOSPC if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL" else errno.EIO
    return OSError(code, f"the cache cannot be used any more: {error}", str(path))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Two sessions over one cache would both move it on. The lock is the operating system's: it ends with the program.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA secure_delete = ON")  # what was withdrawn is overwritten
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != _APPLICATION_ID and (application_id, version, tables) != (0, 0, 0):
        raise CacheUnusable(f"{path} belongs to another program. Choose another name")
    if version > VERSION:
        raise CacheUnusable(f"{path} was written by a newer version of this library: use that one. {_LOSS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN EXCLUSIVE")
    if tables == 0:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
    connection.execute("COMMIT")


def why_unusable(error: Exception, path: Path) -> str:
    """The text of CacheUnusable for what SQLite says of a file that is being opened, or for what cannot stand in it."""
    name = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")
    if name.startswith("SQLITE_BUSY"):
        return f"{path} is in use by another program: a cache serves one at a time"
    if name == "SQLITE_NOTADB":
        return f"{path} is no cache of Stonechat, or it is damaged. If it was one: {_LOSS.lower()}"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_ERROR")):
        return f"{path} is damaged ({error}). {_LOSS}"
    return f"{path} cannot be opened as a cache: {error}"
