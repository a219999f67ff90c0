"""Tables in a file of SQLite: how it is made, led to the newest version, and opened (through aiosqlite)."""

import asyncio
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from svc.backends.sql_file import make_or_check, other_version, primary_code, usable
from svc.backends.sql_schema import Schema, upgrade
from svc.backends.sql_transactions import WRITES, Failure

_BUSY_SECONDS = 2.0
_CONNECTIONS = 4
_BEFORE_ALEMBIC = "schema_version"

_FAILURES = {
    sqlite3.SQLITE_BUSY: "is busy",
    sqlite3.SQLITE_LOCKED: "is busy",
    sqlite3.SQLITE_FULL: "cannot be written: its disk is full, make room",
    sqlite3.SQLITE_READONLY: "cannot be written: see whether its disk is mounted read-only",
    sqlite3.SQLITE_IOERR: "cannot be read or written: its disk may be full or faulty",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_NOTADB: "is damaged",
}


def failure(error: DBAPIError) -> Failure | None:
    """What an error says of the database; None when it says something of the statement."""
    told = _FAILURES.get(primary_code(error.orig or error))
    return None if told is None else Failure(told)


def prepare(path: Path, schema: Schema) -> None:
    """See to it that the file is sound and has the newest tables; a missing one is made. Blocks. Raises StartError when it is
    damaged, newer than this program, or cannot be used; then nothing was changed."""
    versions = {schema.version_table: "version_num", _BEFORE_ALEMBIC: "version"}
    found = make_or_check(path, partial(_upgrade, schema=schema, found=0), versions)
    if found is not None and found > schema.version:
        raise other_version(path, found, schema.version)
    if found is not None and found < schema.version:
        with usable(path):
            _upgrade(path, schema, found)


def engine(path: Path) -> AsyncEngine:
    """What connects to a prepared file."""
    made = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        # isolation_level None: transactions begin where _begin says, not where the driver guesses.
        connect_args={"isolation_level": None, "timeout": _BUSY_SECONDS},
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_reset_on_return=None,  # every transaction is ended where it began
    )
    _listen(made.sync_engine)
    event.listen(made.sync_engine, "invalidate", _abandon)
    return made


def _upgrade(path: Path, schema: Schema, found: int) -> None:
    made = create_engine(URL.create("sqlite", database=str(path)), connect_args={"isolation_level": None})
    _listen(made)
    try:
        with made.connect().execution_options(**{WRITES: True}) as connection:
            upgrade(connection, schema, found)
    except DBAPIError as error:
        raise (error.orig or error) from error
    finally:
        made.dispose()


def _listen(made: Engine) -> None:
    event.listen(made, "connect", _configure)
    event.listen(made, "begin", _begin)


def _configure(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _abandon(connection: Any, _record: object, error: BaseException | None) -> None:
    # A deadline, or a caller that went away, in the middle of a statement: end it and undo the transaction. Closing alone
    # would not: SQLite keeps the lock until the statement's cursor is collected as garbage.
    if isinstance(error, asyncio.CancelledError):
        connection.run_async(lambda driver: driver.interrupt())
        connection.rollback()
