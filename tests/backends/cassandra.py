"""Keyspaces of a test's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import acsylla

from svc.backends.cassandra_connect import connected
from svc.backends.sealing import Seal
from svc.kernel import addresses
from svc.kernel.addresses import Address
from tests.real import address, unique

SEAL = Seal({1: bytes(range(32))})


@asynccontextmanager
async def keyspace(prefix: str = "test") -> AsyncIterator[Address]:
    """The address of a keyspace that does not exist yet; what was made of it is removed when the block ends."""
    name = unique(prefix)
    place = addresses.parse(addresses.CASSANDRA, address("cassandra", name))
    try:
        yield place
    finally:
        await command(place, f"DROP KEYSPACE IF EXISTS {name}")


async def command(place: Address, text: str) -> list[tuple[object, ...]]:
    """Run one statement, outside of any keyspace; returns what it finds."""
    async with connected(place, None) as session:
        result = await session.execute(acsylla.create_statement(text, timeout=30.0))
        return [row.as_tuple() for row in result.all()]
