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
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from svc.kernel.errors import StartError, StonechatError, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
READERS = 2
DEADLINE_SECONDS = 10.0
_MAX_TOGETHER = 256


def translate(error: sqlite3.Error, path: Path) -> StonechatError:
    """What a driver's error means, and what to do about it."""
    text = str(error)
    if "malformed" in text or "not a database" in text:
        return StartError(f"{path} is damaged ({text}): stop, move the file away and restore it from a backup")
    if "full" in text:
        return Unavailable(f"the disk that holds {path} is full: make room; nothing acknowledged is lost")
    if "readonly" in text or "unable to open" in text:
        return Unavailable(f"{path} cannot be written ({text}): check its permissions")
    return Unavailable(f"{path}: {text}")


class Database:
    """One file. Work is a function of a connection; it runs on a thread and must not keep the connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
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

    async def open(self, script: str) -> None:
        """Open the file, make what the script (idempotent DDL) makes, start the threads. Raises StartError."""
        self._loop = asyncio.get_running_loop()
        writer = await asyncio.to_thread(self._prepare, script)
        self._threads.append(threading.Thread(target=self._write_loop, args=(writer,), name=f"{self.path.name} writer"))
        for number in range(READERS):
            reader = await asyncio.to_thread(self._connect)
            self._threads.append(
                threading.Thread(target=self._read_loop, args=(reader,), name=f"{self.path.name} reader {number}")
            )
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Finish what was submitted, then close the file."""
        self._writes.put(None)
        for _ in range(READERS):
            self._reads.put(None)
        threads, self._threads = self._threads, []
        for thread in threads:
            await asyncio.to_thread(thread.join)

    def _prepare(self, script: str) -> sqlite3.Connection:
        try:
            self.path.touch(mode=0o600)
            connection = self._connect()
            damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise sqlite3.DatabaseError(f"database disk image is malformed: {damage}")
            connection.executescript(script)
        except sqlite3.Error as error:
            raise StartError(translate(error, self.path).message) from error
        except OSError as error:
            raise StartError(f"{self.path} cannot be written ({error.strerror}): check its permissions") from error
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=256)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA busy_timeout=5000")
        connection.execute("PRAGMA cache_size=-32768")
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
            connection.rollback()
            return [(future, None, self._error(error)) for _, future in batch]
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
async def open_database(path: Path, script: str) -> AsyncIterator[Database]:
    """A database for as long as the block lasts."""
    database = Database(path)
    await database.open(script)
    try:
        yield database
    finally:
        await database.close()
