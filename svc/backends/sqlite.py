"""SQLite files on threads: one writer that commits what waits in one go, a few readers.

WAL and synchronous=FULL: what a write returned from is on the disk. Used where the path of a message goes; tables of accounts
and groups go through SQLAlchemy (`svc.backends.sql`).
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, TypeVar

from svc.backends.sql_file import prepare
from svc.kernel.errors import StartError, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
READERS = 2
DEADLINE_SECONDS = 10.0
_MAX_TOGETHER = 256


def translate(error: sqlite3.Error, path: Path) -> Unavailable:
    """What a driver's error means, and what to do about it."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the primary code: https://sqlite.org/rescode.html
        case sqlite3.SQLITE_FULL:
            text = f"the disk that holds {path} is full: make room; nothing acknowledged is lost"
        case sqlite3.SQLITE_IOERR:
            text = f"{path} cannot be read or written ({error}): see whether its disk is full or faulty"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            text = (
                f"{path} cannot be written ({error}): check its permissions, and whether its disk is mounted read-only"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            text = f"{path} is damaged ({error}): stop, and restore it from a backup"
        case _:
            text = f"{path} cannot answer: {error}"
    return Unavailable(text)


def make_database(path: Path, script: str, version: int = 1) -> None:
    """Make a database of this schema version by a script (DDL) when it is missing, else check it. Blocks. Raises StartError."""

    def create(new: Path) -> None:
        with closing(sqlite3.connect(new)) as connection:
            connection.executescript(script)

    prepare(path, version, create)


class Database:
    """One file. Work is a function of a connection; it runs on a thread and must not keep the connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failing = False
        self._writes: queue.SimpleQueue[tuple[Work[Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[tuple[Work[Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def write(self, work: Work[T]) -> T:
        """Run work in a transaction, and return when that is on the disk. Writes that wait share one transaction; one that
        raises is undone alone. Raises Unavailable when the outcome is unknown."""
        return await self._submit(self._writes, work)

    async def read(self, work: Work[T]) -> T:
        """Run work on a reader. It sees every write that returned before, and one moment: nothing that is written meanwhile."""
        return await self._submit(self._reads, work)

    async def _submit(self, to: "queue.SimpleQueue[tuple[Work[Any], asyncio.Future[Any]] | None]", work: Work[T]) -> T:
        if not self._threads:
            raise Unavailable(f"{self.path} is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        to.put((work, future))
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await future
        except TimeoutError:
            raise Unavailable(f"{self.path} has not answered for {DEADLINE_SECONDS:.0f} s") from None

    async def open(self, script: str, version: int) -> None:
        """Open the file, made by the script (DDL) when it is missing, and start the threads. Raises StartError."""
        self._loop = asyncio.get_running_loop()
        writer, *readers = await asyncio.to_thread(self._prepare, script, version)
        self._threads.append(threading.Thread(target=self._write_loop, args=(writer,), name=f"{self.path.name} writer"))
        for number, reader in enumerate(readers):
            self._threads.append(
                threading.Thread(target=self._read_loop, args=(reader,), name=f"{self.path.name} reader {number}")
            )
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Finish what was submitted, then close the file."""
        if not self._threads:
            return
        (writer, *readers), self._threads = self._threads, []
        for _ in readers:
            self._reads.put(None)
        for reader in readers:
            await asyncio.to_thread(reader.join)
        # Last: who closes the last connection moves what is in the -wal file into the main one, so that this is whole alone.
        self._writes.put(None)
        await asyncio.to_thread(writer.join)

    def _prepare(self, script: str, version: int) -> list[sqlite3.Connection]:
        make_database(self.path, script, version)
        connections: list[sqlite3.Connection] = []
        try:
            for _ in range(1 + READERS):
                connections.append(self._connect())
                # Now, not with the first message: what cannot be written stops the start.
                connections[-1].execute("BEGIN IMMEDIATE").execute("ROLLBACK")
        except sqlite3.Error as error:
            for connection in connections:
                connection.close()
            raise StartError(translate(error, self.path).message) from error
        return connections

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=256)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA busy_timeout=5000")
        connection.execute("PRAGMA cache_size=-8192")
        return connection

    def _write_loop(self, connection: sqlite3.Connection) -> None:
        while (first := self._writes.get()) is not None:
            batch, last = [first], False
            while len(batch) < _MAX_TOGETHER and not self._writes.empty():
                if (item := self._writes.get()) is None:
                    last = True
                    break
                batch.append(item)
            self._settle(self._commit(connection, batch))
            if last:
                break
        connection.close()

    def _commit(
        self, connection: sqlite3.Connection, batch: list[tuple[Work[Any], asyncio.Future[Any]]]
    ) -> list[tuple[asyncio.Future[Any], Any, BaseException | None]]:
        results: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work, future in batch:
                connection.execute("SAVEPOINT work")
                try:
                    results.append((future, work(connection), None))
                except Exception as error:
                    if not connection.in_transaction:
                        raise  # SQLite has undone all of it: the disk is full, or cannot be read
                    connection.execute("ROLLBACK TO work")
                    results.append((future, None, self._error(error)))
                connection.execute("RELEASE work")
            connection.execute("COMMIT")
        except Exception as error:
            with suppress(sqlite3.Error):
                connection.rollback()
            failure = self._error(error)
            if not self._failing:
                self._failing = True
                log.error("writes fail: %s", failure)
            return [(future, None, failure) for _, future in batch]
        if self._failing:
            self._failing = False
            log.warning("%s is written again", self.path)
        return results

    def _read_loop(self, connection: sqlite3.Connection) -> None:
        while (item := self._reads.get()) is not None:
            work, future = item
            try:
                connection.execute("BEGIN")
                try:
                    result = work(connection)
                finally:
                    connection.rollback()
                self._settle([(future, result, None)])
            except Exception as error:
                self._settle([(future, None, self._error(error))])
        connection.close()

    def _error(self, error: Exception) -> Exception:
        return translate(error, self.path) if isinstance(error, sqlite3.Error) else error

    def _settle(self, results: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
        def on_loop() -> None:
            for future, value, error in results:
                if future.done():
                    continue
                if error is not None:
                    future.set_exception(error)
                else:
                    future.set_result(value)

        assert self._loop is not None  # noqa: S101 - threads start in open()
        try:
            self._loop.call_soon_threadsafe(on_loop)
        except RuntimeError:
            log.warning("the event loop ended before %s answered", self.path)


@asynccontextmanager
async def open_database(path: Path, script: str, version: int = 1) -> AsyncIterator[Database]:
    """A database of this schema version, for as long as the block lasts. Raises StartError."""
    database = Database(path)
    await database.open(script, version)
    try:
        yield database
    finally:
        await database.close()
