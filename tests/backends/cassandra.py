"""Keyspaces of a test's own."""

import asyncio
import atexit
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import acsylla

from svc.backends.cassandra_blocking import BlockingCassandra, open_blocking
from svc.backends.cassandra_connect import connected
from svc.backends.cassandra_migrations import migrate
from svc.backends.messages_cql import TABLES
from svc.backends.sealing import parse_master_keys
from svc.kernel import addresses
from svc.kernel.addresses import Address
from tests.real import address, unique

MASTER_KEYS = "1:" + base64.b64encode(bytes(range(32))).decode()
SEAL = parse_master_keys(MASTER_KEYS)


@asynccontextmanager
async def keyspace() -> AsyncIterator[Address]:
    """The address of a keyspace that does not exist yet; what was made of it is removed when the block ends."""
    place = _new()
    try:
        yield place
    finally:
        await command(place, _drop(place))


_free: list[Address] = []


@asynccontextmanager
async def tables() -> AsyncIterator[Address]:
    """The address of a keyspace that has all tables, and nothing in them. Each is used by one test after the other, and
    removed when the process ends: Cassandra keeps some memory for every table that there ever was."""
    if _free:
        place = _free.pop()
        await asyncio.gather(
            *(command(place, f"TRUNCATE {place.name}.{table}") for table in TABLES if table != "schema_versions")
        )
    else:
        place = _new()
        atexit.register(lambda: asyncio.run(command(place, _drop(place))))
        await migrate(place)
    yield place
    _free.append(place)


async def command(place: Address, text: str) -> list[tuple[object, ...]]:
    """Run one statement, outside of any keyspace; returns what it finds."""
    async with connected(place, None) as session:
        result = await session.execute(acsylla.create_statement(text, timeout=30.0))
        return [row.as_tuple() for row in result.all()]


def _new() -> Address:
    return addresses.parse(addresses.CASSANDRA, address("cassandra", unique("test")))


def _drop(place: Address) -> str:
    return f"DROP KEYSPACE IF EXISTS {place.name}"


@contextmanager
def blocking_tables() -> Iterator[tuple[Address, BlockingCassandra]]:
    """The same for those who block, with a session."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        place = runner.run(stack.enter_async_context(tables()))
        try:
            with open_blocking(place, SEAL) as session:
                yield place, session
        finally:
            runner.run(stack.aclose())
