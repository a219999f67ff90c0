"""Tables: SQLAlchemy Core over a file of SQLite (through aiosqlite).

Write SQL that MySQL 8, MariaDB 10.11 and SQLite all take. A write transaction holds the database for itself from its first
statement on, so `with_for_update()`, which SQLite ignores, holds there too.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Integer, LargeBinary, MetaData, String, create_engine, event, text
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.types import TypeEngine

from svc.backends.sql_file import prepare, primary_code
from svc.kernel.errors import StartError, Unavailable

log = logging.getLogger(__name__)

TRANSACTION_SECONDS = 5.0
_BUSY_SECONDS = 2.0
_CONNECTIONS = 4
_BEGIN = "stonechat_begin"

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


def key_text(length: int) -> TypeEngine[str]:
    """ASCII that is compared byte by byte: ids, names, keys."""
    exact = mysql.VARCHAR(length, charset="ascii", collation="ascii_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


def free_text(length: int) -> TypeEngine[str]:
    """Any text of up to `length` characters, compared byte by byte."""
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


def fixed_bytes(length: int) -> TypeEngine[bytes]:
    """Exactly so many bytes; may be a key."""
    return LargeBinary(length).with_variant(mysql.BINARY(length), "mysql", "mariadb")


def blob() -> TypeEngine[bytes]:
    """Bytes, up to 16 MB."""
    return LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def counted_id() -> TypeEngine[int]:
    """For an `autoincrement` primary key. The table says `sqlite_autoincrement=True`: a number is never used twice."""
    return BigInteger().with_variant(Integer(), "sqlite")


class Sql:
    """Transactions on one database. All of them raise Unavailable when it cannot answer, or not within
    TRANSACTION_SECONDS (a statement that hangs in the disk is waited for); of a write it is then unknown whether it was
    stored. IntegrityError is the caller's to read.

    Keep blocks short, and await nothing in them but statements: writers wait for each other.
    """

    def __init__(self, engine: AsyncEngine, name: str) -> None:
        self.engine = engine
        self.name = name
        # SQLite has one writer at a time; a queue here is fair, its own way of waiting (polling) is not.
        self._writer = asyncio.Lock()
        self._after: dict[AsyncConnection, list[Callable[[], None]]] = {}
        self._failure = ""  # of the newest transaction: only a change is logged

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._translated():
            async with asyncio.timeout(TRANSACTION_SECONDS), self.engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is stored (fsync) when the block ends, undone when it raises."""
        with self._translated():
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(asyncio.timeout(TRANSACTION_SECONDS))
                await stack.enter_async_context(self._writer)
                callbacks: list[Callable[[], None]] = []
                # Also after a failure: whether a commit that was interrupted happened is not known.
                stack.callback(lambda: [callback() for callback in callbacks])
                connection = await stack.enter_async_context(self.engine.connect())
                await connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
                self._after[connection] = callbacks
                stack.callback(self._after.pop, connection)
                await stack.enter_async_context(connection.begin())
                yield connection
            if self._failure:
                self._failure = ""
                log.warning("the store of %s is written again", self.name)

    def after_commit(self, connection: AsyncConnection, callback: Callable[[], None]) -> None:
        """Call `callback` when this write transaction has ended. It may also come when nothing was committed."""
        self._after[connection].append(callback)

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except (TimeoutError, PoolTimeout) as error:
            raise Unavailable(f"the store of {self.name} does not answer in time") from error
        except DBAPIError as error:
            failure = _FAILURES.get(primary_code(error.orig or error))
            if failure is None:
                raise
            if self._failure != failure:
                self._failure = failure
                log.error("the store of %s %s: %s", self.name, failure, error.orig)
            raise Unavailable(f"the store of {self.name} {failure}") from error


@asynccontextmanager
async def open_sql(path: Path, metadata: MetaData, version: int) -> AsyncIterator[Sql]:
    """Open the database in a file, made when missing with the tables of `metadata`; the folder must be there.

    Raises StartError when the file is damaged, of another schema version, or cannot be used.
    """
    await asyncio.to_thread(prepare, path, version, lambda new: _create(new, metadata))
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        # isolation_level None: transactions begin where _begin says, not where the driver guesses.
        connect_args={"isolation_level": None, "timeout": _BUSY_SECONDS},
        pool_size=_CONNECTIONS,
        max_overflow=0,
        pool_timeout=TRANSACTION_SECONDS,
    )
    event.listen(engine.sync_engine, "connect", _configure)
    event.listen(engine.sync_engine, "begin", _begin)
    event.listen(engine.sync_engine, "invalidate", _abandon)
    sql = Sql(engine, path.stem)
    try:
        try:
            await sql.ping()
        except Unavailable as error:
            raise StartError(f"{path}: {error.message}; see whether the disk is full or faulty") from error
        yield sql
    finally:
        await engine.dispose()


def _create(path: Path, metadata: MetaData) -> None:
    engine = create_engine(URL.create("sqlite", database=str(path)))
    try:
        metadata.create_all(engine)
    except DBAPIError as error:
        raise (error.orig or error) from error
    finally:
        engine.dispose()


def _configure(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _abandon(connection: Any, _record: object, error: BaseException | None) -> None:
    # A deadline, or a caller that went away, in the middle of a statement: end it and undo the transaction. Closing alone
    # would not: SQLite keeps the lock until the statement's cursor is collected as garbage.
    if isinstance(error, asyncio.CancelledError):
        connection.run_async(lambda driver: driver.interrupt())
        connection.rollback()
