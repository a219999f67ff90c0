"""Places for tables: a file, or a database of a test's own on MySQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomysql
import pytest

from svc.backends.sql import Schema
from svc.backends.sql_mysql import migrate
from svc.kernel import addresses
from svc.kernel.addresses import Address
from tests.real import address, unique

Place = Path | Address
PLACES = ["file", pytest.param("mysql", marks=pytest.mark.real)]


@asynccontextmanager
async def database(prefix: str = "test", server: str = "") -> AsyncIterator[str]:
    """The URL of a database that does not exist yet; what was made of it is removed when the block ends."""
    url = server or address("mysql", unique(prefix))
    try:
        yield url
    finally:
        await command(url, f"DROP DATABASE IF EXISTS {parsed(url).name}")


@asynccontextmanager
async def setting(kind: str, *schemas: Schema) -> AsyncIterator[str]:
    """What STONECHAT_MYSQL says: of kind `file` nothing, of kind `mysql` a database that has the tables of these schemas."""
    if kind == "file":
        yield ""
        return
    async with database() as url:
        await migrate(parsed(url), schemas)
        yield url


@asynccontextmanager
async def tables(kind: str, file: Path, *schemas: Schema) -> AsyncIterator[Place]:
    """Where the tables of these schemas are: this file, which is made when it is opened, or a database that has them."""
    async with setting(kind, *schemas) as url:
        yield parsed(url) if url else file


def parsed(url: str) -> Address:
    """The address of a URL."""
    return addresses.parse(addresses.MYSQL, url)


async def command(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements, outside of any database; returns what the last one finds."""
    place = parsed(url)
    ((host, port), *_) = place.hosts
    connection = await aiomysql.connect(
        host=host, port=port, user=place.user, password=place.password, autocommit=True, charset="utf8mb4"
    )
    try:
        async with connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
            return list(await cursor.fetchall())
    finally:
        await connection.ensure_closed()
