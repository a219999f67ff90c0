"""Transactions on one database of tables, and what its failures mean to callers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from svc.backends.breaker import Breaker
from svc.kernel.errors import Unavailable

log = logging.getLogger(__name__)

TRANSACTION_SECONDS = 5.0
WRITES = "stonechat_writes"
"""The execution option of a connection whose transaction will write."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a database could not do it, as said behind its name. `answered`: it can, but for what others do just now."""

    text: str
    answered: bool = False


class Sql:
    """Transactions on one database. All of them raise Unavailable when it cannot answer, or not within TRANSACTION_SECONDS (a
    statement that hangs in the disk of an embedded one is waited for); of a write it is then unknown whether it was stored.
    IntegrityError is the caller's to read.

    Take row locks in one order everywhere, and before what they protect is read: then nothing ever waits in a circle. What
    does (a deadlock, or a lock that is held for too long) is undone and raised as Unavailable too: a block cannot run twice,
    its caller can, and every change of this house is safe to ask for again.

    Keep blocks short, and await nothing in them but statements: writers wait for each other.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        name: str,
        failure: Callable[[DBAPIError], Failure | None],
        one_writer: bool = False,
        breaker: Breaker | None = None,
    ) -> None:
        self.engine = engine
        self.name = name
        self._failure_of = failure
        # SQLite has one writer at a time; a queue here is fair, its own way of waiting (polling) is not.
        self._writer = asyncio.Lock() if one_writer else nullcontext()
        self._breaker = breaker
        self._after: dict[AsyncConnection, list[Callable[[], None]]] = {}
        self._failure = ""  # of the newest transaction, where there is no breaker: only a change is logged

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the database and changes nothing."""
        with self._watched(writes=False):
            async with asyncio.timeout(TRANSACTION_SECONDS), self.engine.connect() as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is stored (fsync) when the block ends, undone when it raises. Each statement sees what was
        committed before it; what must not change between two of them is read `with_for_update()`."""
        with self._watched(writes=True):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(asyncio.timeout(TRANSACTION_SECONDS))
                await stack.enter_async_context(self._writer)
                callbacks: list[Callable[[], None]] = []
                # Also after a failure: whether a commit that was interrupted happened is not known.
                stack.callback(lambda: [callback() for callback in callbacks])
                connection = await stack.enter_async_context(self.engine.connect())
                await connection.execution_options(**{WRITES: True})
                self._after[connection] = callbacks
                stack.callback(self._after.pop, connection)
                await stack.enter_async_context(connection.begin())
                yield connection

    def after_commit(self, connection: AsyncConnection, callback: Callable[[], None]) -> None:
        """Call `callback` when this write transaction has ended. It may also come when nothing was committed."""
        self._after[connection].append(callback)

    async def ping(self) -> None:
        """Raises Unavailable when the database does not answer."""
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    @contextmanager
    def _watched(self, writes: bool) -> Iterator[None]:
        if self._breaker is not None:
            self._breaker.admit()
        try:
            yield
        except IntegrityError:
            self._answered(writes)
            raise
        except PoolTimeout as error:
            raise Unavailable(f"the store of {self.name} has more to do than it can") from error
        except TimeoutError as error:
            raise self._failed(Failure("does not answer in time"), error) from error
        except DBAPIError as error:
            failure = self._failure_of(error)
            if failure is None:
                self._answered(writes)
                raise
            raise self._failed(failure, error.orig or error) from error
        except Exception:  # the caller's own: it was asked and it answered
            self._answered(writes)
            raise
        self._answered(writes)

    def _answered(self, writes: bool) -> None:
        if self._breaker is not None:
            self._breaker.answered()
        elif writes and self._failure:  # one that can still be read is not well yet
            self._failure = ""
            log.warning("the store of %s is written again", self.name)

    def _failed(self, failure: Failure, error: BaseException) -> Unavailable:
        if self._breaker is not None:
            if failure.answered:
                self._breaker.answered()
            else:
                self._breaker.failed(f"it {failure.text} ({error})" if str(error) else f"it {failure.text}")
        elif self._failure != failure.text:
            self._failure = failure.text
            log.error("the store of %s %s: %s", self.name, failure.text, error)
        return Unavailable(f"the store of {self.name} {failure.text}")
