"""Tables: SQLAlchemy Core over a file of SQLite or a database of MySQL, by the same code.

Write SQL that MySQL 8, MariaDB 10.11 and SQLite all take. A write transaction on SQLite holds the database for itself from its
first statement on, so `with_for_update()`, which it ignores, holds there too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from svc.backends import sql_sqlite
from svc.backends.breaker import Breaker
from svc.backends.sql_schema import Schema
from svc.backends.sql_transactions import Sql
from svc.kernel.addresses import Address
from svc.kernel.clock import SystemClock
from svc.kernel.errors import StartError, Unavailable

__all__ = ["Schema", "Sql", "open_sql"]


@asynccontextmanager
async def open_sql(place: Path | Address, schema: Schema) -> AsyncIterator[Sql]:
    """Open the tables in a file, whose folder must be there, or in a database of MySQL. The file is made when missing and led
    to the newest version; on MySQL `stonechat migrate` does that.

    Raises StartError when they are of another version or cannot be used.
    """
    async with _file(place, schema) if isinstance(place, Path) else _mysql(place, schema) as sql:
        yield sql


@asynccontextmanager
async def _file(path: Path, schema: Schema) -> AsyncIterator[Sql]:
    await asyncio.to_thread(sql_sqlite.prepare, path, schema)
    sql = Sql(sql_sqlite.engine(path), schema.name, sql_sqlite.failure, one_writer=True)
    try:
        try:
            await sql.ping()
        except Unavailable as error:
            raise StartError(f"{path}: {error.message}; see whether the disk is full or faulty") from error
        yield sql
    finally:
        await sql.engine.dispose()


@asynccontextmanager
async def _mysql(address: Address, schema: Schema) -> AsyncIterator[Sql]:
    from svc.backends import sql_mysql  # not where it is not chosen: drivers take their time to load

    breaker = Breaker(f"mysql ({schema.name})", SystemClock())
    sql = Sql(sql_mysql.engine(address), schema.name, sql_mysql.failure, breaker=breaker)
    try:
        try:
            async with asyncio.timeout(sql_mysql.START_SECONDS), sql.engine.connect() as connection:
                await sql_mysql.require_version(connection, address, schema)
        except (DBAPIError, TimeoutError) as error:
            raise sql_mysql.start_error(address, error) from error
        yield sql
    finally:
        await sql.engine.dispose()
