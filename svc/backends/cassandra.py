"""A session with Cassandra: acsylla (the C++ driver, on the event loop), prepared, token-aware, LOCAL_QUORUM both ways.

Every statement may be run again, so one that is slow or fails is asked for again, of whichever replica comes next. That is
done here: with the driver's own speculative execution a request that nobody answers never ends (scylladb/cpp-driver issue 110;
seen here, too). What is in flight is bounded in bytes. A cluster that does not answer is left alone but for single probes
(`svc.backends.breaker`).
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import acsylla
from acsylla.errors import CassErrorLibNoHostsAvailable, CassErrorSourceLib, CassException

from svc.backends.breaker import Breaker
from svc.backends.budget import Budget
from svc.backends.cassandra_batches import Insert, Mutation, batches
from svc.backends.cassandra_connect import ANSWERS, connected, data_centre, start_error
from svc.backends.cassandra_migrations import NEWEST, require_version
from svc.backends.cassandra_ring import Node, Ring
from svc.backends.sealing import Seal
from svc.kernel import telemetry
from svc.kernel.addresses import Address
from svc.kernel.clock import SystemClock
from svc.kernel.errors import Unavailable
from svc.kernel.lifecycle import owned

__all__ = ["Cassandra", "Insert", "Mutation", "open_cassandra"]

log = logging.getLogger(__name__)

Start = Callable[[], Coroutine[Any, Any, Any]]
"""Begins one try of a call."""

CALL_SECONDS = 2.0
"""How long a statement may take, with all its tries."""
TRIES_SECONDS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.2)
"""When a statement that is not answered is tried again. Each time another replica may be asked, or the same: while one of three
hangs, a third of the tries is lost."""
IN_FLIGHT_BYTES = 4 << 20
_MORE_TRIES = 8
"""How many tries may be under way beyond two for each call: a cluster that is slow is not made slower by asking ever again."""
_READ_BYTES = 8 * 1024  # a read is counted as so much: about what it brings
_PAGE_ROWS = 1000
_RING_SECONDS = 60.0
_FINAL = (CassErrorLibNoHostsAvailable, *ANSWERS)  # another try would end the same


class Cassandra:
    """Reads and writes in one keyspace. Every method raises Unavailable when Cassandra cannot answer, or when it is unknown
    whether a write was stored; repeat it then. A read sees every write that returned before, whoever wrote it."""

    def __init__(self, session: Any, address: Address, seal: Seal) -> None:
        self.seal = seal
        """What content in this keyspace is sealed with."""
        self._session = session
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._prepared: dict[str, Any] = {}
        self._ring = Ring((), 0)
        self._budget = Budget(IN_FLIGHT_BYTES)
        self._calls = self._tries = 0
        self._breaker = Breaker("cassandra", SystemClock())
        self._seconds = {
            operation: telemetry.BACK_END_SECONDS.labels("cassandra", operation)
            for operation in ("read", "write", "prepare")
        }

    async def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows that a SELECT finds, its columns in order. `parameters` fill the question marks; a list fills an `IN ?`.
        Bound it by LIMIT: every page is read. The statement is prepared once, by its text: build no texts from values."""
        prepared = await self._prepare(statement)
        found: list[tuple[Any, ...]] = []
        state: bytes | None = None
        while True:
            bound = prepared.bind(list(parameters), page_size=_PAGE_ROWS, page_state=state)
            bound.set_is_idempotent(True)
            result = await self._call("read", _READ_BYTES, partial(self._session.execute, bound))
            found += [row.as_tuple() for row in result.all()]
            if not result.has_more_pages():
                return found
            state = result.page_state()

    async def write(self, mutations: Sequence[Mutation]) -> None:
        """Write rows, in any order but that of a partition, and return when all are stored. Rows of one partition and statement
        are stored together; if this raises, any part of the rest may be. Values must not be None: an absent cell is not
        the same as none. Cells are versioned by what the statements say (`USING TIMESTAMP ?`)."""
        for text in {insert.text for insert, _ in mutations}:
            await self._prepare(text)
        sent = [self._send(*batch) for batch in batches(mutations, self._ring.owners)]
        if len(sent) == 1:
            await sent[0]
            return
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def ping(self) -> None:
        """Return when a quorum of the replicas of one partition answers."""
        await self.rows(NEWEST)

    async def follow_ring(self) -> None:
        """Learn who keeps what, for ever."""
        while True:
            try:
                self._ring = await self._look()
            except Unavailable as error:
                log.debug("the ring is not known anew", extra={"error": error.message})
            await asyncio.sleep(_RING_SECONDS)

    async def _look(self) -> Ring:
        own = data_centre(self._address)
        columns = "rack, data_center, tokens"
        local = await self.rows(f"SELECT {columns}, listen_address FROM system.local")  # noqa: S608 - constants
        peers = await self.rows(f"SELECT {columns}, peer FROM system.peers_v2")  # noqa: S608 - constants
        ((replication,),) = await self.rows(
            "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?", (self._address.name,)
        )
        nodes = [
            Node(str(at), rack, tuple(int(token) for token in tokens))
            for rack, centre, tokens, at in [*local, *peers]
            if centre == own and tokens
        ]
        return Ring(nodes, int(replication.get(own, 0)))

    async def _send(self, batch: Sequence[Mutation], weight: int) -> None:
        bound = []
        for insert, parameters in batch:
            statement = self._prepared[insert.text].bind(parameters)
            statement.set_is_idempotent(True)
            bound.append(statement)
        if len(bound) == 1:
            await self._call("write", weight, lambda: self._session.execute(bound[0]))
            return
        together = acsylla.create_batch_unlogged()
        together.set_is_idempotent(True)
        for statement in bound:
            together.add_statement(statement)
        await self._call("write", weight, lambda: self._session.execute_batch(together))

    async def _prepare(self, text: str) -> Any:
        prepared = self._prepared.get(text)
        if prepared is None:
            prepared = await self._call("prepare", _READ_BYTES, lambda: self._session.create_prepared(text))
            self._prepared[text] = prepared
        return prepared

    async def _call(self, operation: str, weight: int, start: Start) -> Any:
        # Waiting for room ends: who holds it has a deadline, and once nobody is answered the breaker lets none through.
        taken = await self._budget.take(weight)
        try:
            return await self._admitted(operation, start)
        finally:
            self._budget.give_back(taken)

    async def _admitted(self, operation: str, start: Start) -> Any:
        self._breaker.admit()
        began = time.perf_counter()
        try:
            answer = await self._first_answer(start)
        except TimeoutError:
            raise self._failed(operation, f"no answer in {CALL_SECONDS:g} s") from None
        except ANSWERS as error:
            self._breaker.answered()
            raise Unavailable(f"Cassandra refuses what it was asked: {error}") from error
        except CassException as error:
            raise self._failed(operation, f"{type(error).__name__.removeprefix('CassError')}: {error}") from error
        self._breaker.answered()
        self._seconds[operation].observe(time.perf_counter() - began)
        return answer

    def _failed(self, operation: str, trouble: str) -> Unavailable:
        self._breaker.failed(trouble)
        telemetry.BACK_END_FAILURES.labels("cassandra", operation).inc()
        return Unavailable(f"Cassandra cannot answer: {trouble}")

    async def _first_answer(self, start: Start) -> Any:
        """The answer of the first try that succeeds, or the error of the last; TimeoutError after CALL_SECONDS."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        tries: set[asyncio.Future[Any]] = set()
        began = self._loop.time()
        more = iter(TRIES_SECONDS)
        timer: asyncio.TimerHandle | None = None
        last = False

        def begin() -> None:
            nonlocal timer, last
            if timer is not None:
                timer.cancel()
            following = next(more, None)
            last = following is None
            timer = self._loop.call_at(began + (following or CALL_SECONDS), expire if last else begin)
            if tries and self._tries > 2 * self._calls + _MORE_TRIES:
                return
            current = self._loop.create_task(start())
            self._tries += 1
            tries.add(current)
            current.add_done_callback(ended)

        def ended(current: asyncio.Future[Any]) -> None:
            self._tries -= 1
            tries.discard(current)
            if answer.done() or current.cancelled():
                return
            error = current.exception()
            if error is None:
                answer.set_result(current.result())
            elif not last and isinstance(error, CassErrorSourceLib) and not isinstance(error, _FINAL):
                begin()  # a connection is gone: the next replica, at once
            elif not tries and (last or isinstance(error, _FINAL) or not isinstance(error, CassException)):
                answer.set_exception(error)

        def expire() -> None:
            if not answer.done():
                answer.set_exception(TimeoutError())

        self._calls += 1
        begin()
        try:
            return await answer
        finally:
            self._calls -= 1
            if timer is not None:
                timer.cancel()
            for current in tries:
                current.cancel()


@asynccontextmanager
async def open_cassandra(address: Address, seal: Seal) -> AsyncIterator[Cassandra]:
    """A session for as long as the block lasts. Raises StartError when Cassandra does not answer, or its keyspace is missing or
    of another version (`svc.backends.cassandra_migrations.migrate`). `seal`: `svc.backends.sealing.parse_master_keys`."""
    async with connected(address, address.name) as session:
        try:
            await require_version(session, address)
        except CassException as error:
            raise start_error(address, error) from error
        cassandra = Cassandra(session, address, seal)
        async with owned(cassandra.follow_ring(), "cassandra ring"):
            yield cassandra
