"""Which driver for Cassandra: the same statements through cassandra-driver, bridged to asyncio, and through acsylla.

    python -m bench.cassandra_drivers cassandra-driver|acsylla [HOST [REPLICATION [SECONDS]]]

Prints, for each kind of work, alone and with many in flight: p50 and p99 in ms, and the CPU of this process for each in µs (all
threads). With SECONDS it holds 100 writes a second instead, and says each second how they fare: stop a node meanwhile
(SIGSTOP) to see what a hung one does. Makes the keyspace `driver_bench`, and removes it.
"""

import asyncio
import os
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

KEYSPACE = "driver_bench"
_REPLICATION = "{'class': 'NetworkTopologyStrategy', 'datacenter1': %s}"
TABLES = (
    f"CREATE KEYSPACE IF NOT EXISTS {KEYSPACE} WITH replication = {_REPLICATION}",
    f"""CREATE TABLE IF NOT EXISTS {KEYSPACE}.events (conversation_id text, bucket int, lane tinyint, seq bigint,
        kind tinyint, sender_id text, record_id bigint, client_message_id text, time_us bigint, ordinal bigint,
        body blob, body_version bigint,
        PRIMARY KEY ((conversation_id, bucket), lane, seq)) WITH CLUSTERING ORDER BY (lane ASC, seq DESC)""",
    f"""CREATE TABLE IF NOT EXISTS {KEYSPACE}.keys (conversation_id text, sender_id text, client_message_id text, seq bigint,
        digest blob, PRIMARY KEY ((conversation_id, sender_id), client_message_id))""",
)
EVENT = (
    f"INSERT INTO {KEYSPACE}.events (conversation_id, bucket, lane, seq, kind, sender_id, record_id, client_message_id,"
    " time_us, ordinal, body, body_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
KEY = f"INSERT INTO {KEYSPACE}.keys (conversation_id, sender_id, client_message_id, seq, digest) VALUES (?, ?, ?, ?, ?)"
LOAD = (
    f"SELECT seq, record_id, time_us, ordinal, kind FROM {KEYSPACE}.events"
    " WHERE conversation_id = ? AND bucket = ? AND lane = ? LIMIT 8"
)
Statement = tuple[str, Sequence[Any]]


class Driver(Protocol):
    """What is compared."""

    async def write(self, statements: Sequence[Statement]) -> None:
        """One unlogged batch, or one statement alone."""

    async def rows(self, statement: Statement) -> list[Any]:
        """What is found."""

    async def close(self) -> None:
        """End it."""


class Python:
    """cassandra-driver: a reactor thread, bridged."""

    def __init__(self, cluster: Any, session: Any, prepared: dict[str, Any]) -> None:
        self._cluster, self._session, self._prepared = cluster, session, prepared
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def open(cls, host: str, replication: str) -> "Python":
        from cassandra import ConsistencyLevel
        from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
        from cassandra.policies import (
            ConstantSpeculativeExecutionPolicy,
            DCAwareRoundRobinPolicy,
            FallthroughRetryPolicy,
            TokenAwarePolicy,
        )
        from cassandra.query import tuple_factory

        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy("datacenter1"), shuffle_replicas=True),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            request_timeout=1.5,
            retry_policy=FallthroughRetryPolicy(),
            speculative_execution_policy=ConstantSpeculativeExecutionPolicy(0.1, 2),
            row_factory=tuple_factory,
        )
        cluster = Cluster(
            [host],
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            sockopts=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            idle_heartbeat_interval=2,
            idle_heartbeat_timeout=2,
        )

        def connect() -> tuple[Any, dict[str, Any]]:
            session = cluster.connect()
            for text in TABLES:
                session.execute(text.replace("%s", replication), timeout=20)
            prepared = {text: session.prepare(text) for text in (EVENT, KEY, LOAD)}
            for statement in prepared.values():
                statement.is_idempotent = True
            return session, prepared

        return cls(cluster, *await asyncio.to_thread(connect))

    async def _run(self, statement: Any) -> Any:
        future: asyncio.Future[Any] = self._loop.create_future()

        def done(rows: Any) -> None:
            self._loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(rows))

        def failed(error: BaseException) -> None:
            self._loop.call_soon_threadsafe(lambda: None if future.done() else future.set_exception(error))

        self._session.execute_async(statement).add_callbacks(done, failed)
        return await future

    async def write(self, statements: Sequence[Statement]) -> None:
        from cassandra.query import BatchStatement, BatchType

        bound = [self._prepared[text].bind(values) for text, values in statements]
        if len(bound) == 1:
            await self._run(bound[0])
            return
        batch = BatchStatement(BatchType.UNLOGGED)
        batch.is_idempotent = True
        for statement in bound:
            batch.add(statement)
        await self._run(batch)

    async def rows(self, statement: Statement) -> list[Any]:
        return list(await self._run(self._prepared[statement[0]].bind(statement[1])))

    async def close(self) -> None:
        await asyncio.to_thread(self._session.execute, f"DROP KEYSPACE {KEYSPACE}", timeout=20)
        await asyncio.to_thread(self._cluster.shutdown)


class Native:
    """acsylla: the C++ driver, on the event loop. A second try after 0.1 s, a third after 0.2 s, are made here: with the
    driver's own, a request that finds no answer never ends (scylladb/cpp-driver issue 110; seen here, too)."""

    def __init__(self, session: Any, prepared: dict[str, Any]) -> None:
        self._session, self._prepared = session, prepared

    @classmethod
    async def open(cls, host: str, replication: str) -> "Native":
        import acsylla

        cluster = acsylla.create_cluster(
            [host],
            consistency="LOCAL_QUORUM",
            load_balance_dc_aware="datacenter1",
            request_timeout=1.5,
            retry_policy="fallthrough",
            heartbeat_interval_sec=2,
            idle_timeout_sec=4,
            log_level="error",
        )
        session = await cluster.create_session()
        for text in TABLES:
            await session.execute(acsylla.create_statement(text.replace("%s", replication), timeout=20.0))
        return cls(session, {text: await session.create_prepared(text) for text in (EVENT, KEY, LOAD)})

    def _bound(self, statement: Statement) -> Any:
        bound = self._prepared[statement[0]].bind(statement[1])
        bound.set_is_idempotent(True)
        return bound

    async def _hedged(self, start: Callable[[], Any]) -> Any:
        tries = {asyncio.ensure_future(start())}
        made, failure = 1, BaseException()
        while tries:
            wait = 0.1 if made < 3 else None
            done, tries = await asyncio.wait(tries, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                failure = task.exception() or failure
                if task.exception() is None:
                    for other in tries:
                        other.cancel()
                    return task.result()
            if not done:
                made += 1
                tries.add(asyncio.ensure_future(start()))
        raise failure

    async def write(self, statements: Sequence[Statement]) -> None:
        import acsylla

        if len(statements) == 1:
            bound = self._bound(statements[0])
            await self._hedged(lambda: self._session.execute(bound))
            return
        batch = acsylla.create_batch_unlogged()
        batch.set_is_idempotent(True)
        for statement in statements:
            batch.add_statement(self._bound(statement))
        await self._hedged(lambda: self._session.execute_batch(batch))

    async def rows(self, statement: Statement) -> list[Any]:
        bound = self._bound(statement)
        result = await self._hedged(lambda: self._session.execute(bound))
        return [row.as_tuple() for row in result.all()]

    async def close(self) -> None:
        import acsylla

        await self._session.execute(acsylla.create_statement(f"DROP KEYSPACE {KEYSPACE}", timeout=20.0))
        await self._session.close()


class Work:
    """Statements as delivery makes them."""

    def __init__(self, driver: Driver) -> None:
        self._driver, self._seq = driver, 0

    def _event(self, conversation: int) -> list[Statement]:
        self._seq += 1
        seq, name = self._seq, f"d.u{conversation}.u{conversation + 1}"
        event = (name, 0, 0, seq, 16, "u1", seq, f"c{seq}", seq, seq, os.urandom(300), seq, seq)
        return [(EVENT, event), (KEY, (name, "u1", f"c{seq}", seq, os.urandom(16)))]

    async def one(self) -> None:
        """One event row."""
        await self._driver.write(self._event(1)[:1])

    async def ten(self) -> None:
        """Ten events of ten conversations, a key row each, in one batch."""
        await self._driver.write([statement for number in range(10) for statement in self._event(number)])

    async def load(self) -> None:
        """A conversation is loaded: both lanes."""
        await asyncio.gather(*(self._driver.rows((LOAD, ("d.u1.u2", 0, lane))) for lane in (0, 1)))


async def measure(name: str, work: Callable[[], Awaitable[None]], in_flight: int, count: int) -> None:
    taken: list[float] = []
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            await work()
            taken.append((time.perf_counter() - began) * 1e3)

    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
    p99 = statistics.quantiles(taken, n=100)[98]
    print(
        f"{name:22} {in_flight:3} in flight  p50 {statistics.median(taken):6.2f}  p99 {p99:7.2f} ms"
        f"  CPU {cpu / count * 1e6:6.0f} µs  {count / seconds:7.0f}/s",
        flush=True,
    )


class Held:
    """100 writes a second; each second: how many returned and failed, how many wait, and the slowest."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._waiting: set[asyncio.Task[None]] = set()
        self._forget()

    def _forget(self) -> None:
        self._returned, self._slowest = 0, 0.0
        self._failed: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Tell each second, for so long."""
        ended = time.perf_counter() + seconds
        while time.perf_counter() < ended:
            self._forget()
            for _ in range(100):
                task = asyncio.create_task(self._once())
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
                await asyncio.sleep(0.01)
            told = f"returned {self._returned:4}  failed {dict(self._failed)}  waiting {len(self._waiting)}"
            print(f"  {told}  slowest {self._slowest:.2f} s", flush=True)
        await asyncio.gather(*self._waiting)

    async def _once(self) -> None:
        began = time.perf_counter()
        try:
            await self._work.ten()
            self._returned += 1
        except Exception as error:
            self._failed[f"{type(error).__name__}: {error}"[:60]] += 1
        self._slowest = max(self._slowest, time.perf_counter() - began)


async def main(kind: str, host: str = "127.0.0.1", replication: str = "1", held: str = "0") -> None:
    driver: Driver = await (Native if kind == "acsylla" else Python).open(host, replication)
    try:
        work = Work(driver)
        print(kind)
        for _ in range(200):
            await work.ten()
            await work.load()
        print("warm", flush=True)
        if float(held):
            await Held(work).run(float(held))
            return
        for name, what, count in (
            ("1 event row", work.one, 2000),
            ("10 events, 20 rows", work.ten, 1000),
            ("load", work.load, 2000),
        ):
            for in_flight in (1, 16):
                await measure(name, what, in_flight, count)
    finally:
        await driver.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
