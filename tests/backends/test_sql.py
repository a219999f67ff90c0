"""The promises of transactions, on a file of SQLite and on MySQL alike."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from svc.backends.sql import Sql, open_sql
from tests.backends.counters import COUNTERS, SCHEMA
from tests.tables import PLACES, Place, tables


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with tables(request.param, tmp_path / "things.sqlite", SCHEMA) as made:
        yield made


async def store(sql: Sql, name: str, ballast: int = 0) -> None:
    async with sql.write() as connection:
        await connection.execute(insert(COUNTERS).values(name=name, value=1, ballast=bytes(ballast)))


async def count(sql: Sql) -> int:
    async with sql.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(COUNTERS))).scalar_one())


async def test_what_was_committed_is_there_after_opening_again(place: Place) -> None:
    """Restarting loses nothing; an existing file keeps its tables."""
    async with open_sql(place, SCHEMA) as sql:
        await store(sql, "a")
    async with open_sql(place, SCHEMA) as sql:
        assert await count(sql) == 1


async def test_a_block_that_raises_changes_nothing(place: Place) -> None:
    """A transaction is whole or not at all."""
    async with open_sql(place, SCHEMA) as sql:

        async def fail() -> None:
            async with sql.write() as connection:
                await connection.execute(insert(COUNTERS).values(name="a", value=1))
                raise KeyError

        with pytest.raises(KeyError):
            await fail()
        assert await count(sql) == 0


async def test_a_duplicate_is_an_integrity_error_for_the_caller(place: Place) -> None:
    """A broken unique rule is an answer, not a failure of the database."""
    async with open_sql(place, SCHEMA) as sql:
        await store(sql, "a")
        with pytest.raises(IntegrityError):
            await store(sql, "a")


async def test_read_then_write_in_one_transaction_loses_no_update(place: Place) -> None:
    """A write transaction has the database to itself from its first statement on."""
    async with open_sql(place, SCHEMA) as sql:
        async with sql.write() as connection:
            await connection.execute(insert(COUNTERS).values(name="a", value=0))

        async def increment() -> None:
            async with sql.write() as connection:
                query = select(COUNTERS.c.value).where(COUNTERS.c.name == "a").with_for_update()
                value = (await connection.execute(query)).scalar_one()
                await connection.execute(update(COUNTERS).values(value=value + 1))

        await asyncio.gather(*(increment() for _ in range(30)))
        async with sql.read() as connection:
            assert (await connection.execute(select(COUNTERS.c.value))).scalar_one() == 30


async def test_a_reader_sees_one_state_while_others_write(place: Place) -> None:
    """Reads do not wait for writers and do not see half of what they do."""
    async with open_sql(place, SCHEMA) as sql, sql.read() as reader:
        query = select(func.count()).select_from(COUNTERS)
        assert (await reader.execute(query)).scalar_one() == 0
        await store(sql, "a")
        assert (await reader.execute(query)).scalar_one() == 0
        assert await count(sql) == 1


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
async def test_a_cancelled_writer_leaves_the_database_usable(place: Place, turns: int) -> None:
    """A caller that goes away, wherever it was, undoes its transaction and blocks nobody."""

    async def write() -> None:
        async with sql.write() as connection:
            await connection.execute(insert(COUNTERS).values(name="a", value=1))
            await connection.execute(update(COUNTERS).values(value=2))
            await asyncio.Event().wait()

    async with open_sql(place, SCHEMA) as sql:
        tasks = [asyncio.create_task(write()) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        await store(sql, "b")
        assert await count(sql) == 1
