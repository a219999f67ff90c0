"""The promises of the table store, kept on a real file."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, event, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from svc.backends import sql as sql_module
from svc.backends.sql import Sql, blob, key_text, open_sql
from svc.kernel.errors import StartError, Unavailable

METADATA = MetaData()
COUNTERS = Table(
    "counters",
    METADATA,
    Column("name", key_text(32), primary_key=True),
    Column("value", Integer, nullable=False),
    Column("ballast", blob()),
)


@asynccontextmanager
async def opened(path: Path, version: int = 1) -> AsyncIterator[Sql]:
    async with open_sql(path, METADATA, version) as sql:
        yield sql


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "things.sqlite"


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def store(sql: Sql, name: str, ballast: int = 0) -> None:
    async with sql.write() as connection:
        await connection.execute(insert(COUNTERS).values(name=name, value=1, ballast=bytes(ballast)))


async def count(sql: Sql) -> int:
    async with sql.read() as connection:
        return int((await connection.execute(select(func.count()).select_from(COUNTERS))).scalar_one())


async def test_what_was_committed_is_there_after_opening_again(path: Path) -> None:
    """Restarting loses nothing; an existing file keeps its tables."""
    async with opened(path) as sql:
        await store(sql, "a")
    async with opened(path) as sql:
        assert await count(sql) == 1


async def test_files_are_readable_by_their_owner_only(path: Path) -> None:
    """All of them, write-ahead log included, also when somebody loosened them before."""
    async with opened(path):
        pass
    await asyncio.to_thread(path.chmod, 0o644)
    async with opened(path) as sql:
        await store(sql, "a")
        modes = await asyncio.to_thread(modes_in, path.parent)
    assert set(modes.values()) == {0o600}, modes


async def test_a_block_that_raises_changes_nothing(path: Path) -> None:
    """A transaction is whole or not at all."""
    async with opened(path) as sql:

        async def fail() -> None:
            async with sql.write() as connection:
                await connection.execute(insert(COUNTERS).values(name="a", value=1))
                raise KeyError

        with pytest.raises(KeyError):
            await fail()
        assert await count(sql) == 0


async def test_a_duplicate_is_an_integrity_error_for_the_caller(path: Path) -> None:
    """A broken unique rule is an answer, not a failure of the database."""
    async with opened(path) as sql:
        await store(sql, "a")
        with pytest.raises(IntegrityError):
            await store(sql, "a")


async def test_read_then_write_in_one_transaction_loses_no_update(path: Path) -> None:
    """A write transaction has the database to itself from its first statement on."""
    async with opened(path) as sql:
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


async def test_a_reader_sees_one_state_while_others_write(path: Path) -> None:
    """Reads do not wait for writers and do not see half of what they do."""
    async with opened(path) as sql, sql.read() as reader:
        query = select(func.count()).select_from(COUNTERS)
        assert (await reader.execute(query)).scalar_one() == 0
        await store(sql, "a")
        assert (await reader.execute(query)).scalar_one() == 0
        assert await count(sql) == 1


async def test_a_statement_that_takes_too_long_ends_as_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement has a deadline, and the database answers afterwards."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000000) SELECT sum(i) FROM n"
    async with opened(path) as sql:

        async def stall() -> None:
            async with sql.write() as connection:
                await connection.execute(insert(COUNTERS).values(name="a", value=1))
                await connection.execute(text(endless))

        with monkeypatch.context() as patch:
            patch.setattr(sql_module, "TRANSACTION_SECONDS", 0.05)
            with pytest.raises(Unavailable):
                await stall()
        assert await count(sql) == 0
        await store(sql, "a")
        assert await count(sql) == 1


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55])
async def test_a_cancelled_writer_leaves_the_database_usable(path: Path, turns: int) -> None:
    """A caller that goes away, wherever it was, undoes its transaction and blocks nobody."""

    async def write() -> None:
        async with sql.write() as connection:
            await connection.execute(insert(COUNTERS).values(name="a", value=1))
            await connection.execute(update(COUNTERS).values(value=2))
            await asyncio.Event().wait()

    async with opened(path) as sql:
        tasks = [asyncio.create_task(write()) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        await store(sql, "b")
        assert await count(sql) == 1


async def test_a_database_locked_by_another_process_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's lock is waited for, then the caller is told to come back."""
    monkeypatch.setattr(sql_module, "_BUSY_SECONDS", 0.05)
    async with opened(path) as sql:
        other = sqlite3.connect(path, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="busy"):
                await store(sql, "a")
        finally:
            other.close()
        await sql.ping()


async def test_a_full_disk_is_unavailable_and_says_so(path: Path) -> None:
    """Nothing is half stored; once there is room, writing goes on."""
    async with opened(path) as sql:
        await sql.engine.dispose()
        limit = 20

        @event.listens_for(sql.engine.sync_engine, "checkout")
        def _limit(connection: sqlite3.Connection, *_: object) -> None:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA max_page_count = {limit}")
            cursor.close()

        async def two_rows() -> None:
            async with sql.write() as connection:
                await connection.execute(insert(COUNTERS).values(name="small", value=1))
                await connection.execute(insert(COUNTERS).values(name="big", value=1, ballast=bytes(1 << 20)))

        with pytest.raises(Unavailable, match="disk is full"):
            await two_rows()
        assert await count(sql) == 0
        limit = 10_000
        await two_rows()
        assert await count(sql) == 2


def damage(path: Path, how: str) -> bytes:
    whole = path.read_bytes()
    damaged = {
        "garbage": os.urandom(8192),
        "empty": b"",
        "half": whole[: len(whole) // 2],
        "overwritten": whole[:5000] + b"\xff" * 9000 + whole[14000:],
    }[how]
    path.write_bytes(damaged)
    return damaged


@pytest.mark.parametrize("how", ["garbage", "empty", "half", "overwritten"])
async def test_a_damaged_file_stops_the_start_and_stays_as_it_is(path: Path, how: str) -> None:
    """The text says what to do. What an expert might still save is not touched."""
    async with opened(path) as sql:
        for number in range(50):
            await store(sql, f"n{number}", ballast=2000)
    damaged = damage(path, how)
    with pytest.raises(StartError, match=r"is damaged: restore it from a backup or move it away; nothing was changed"):
        async with opened(path):
            pass
    assert await asyncio.to_thread(path.read_bytes) == damaged


async def test_a_newer_schema_is_refused(path: Path) -> None:
    """An old program never writes into what it does not know."""
    async with opened(path, version=2):
        pass
    with pytest.raises(StartError, match="schema 2, this Stonechat knows schema 1"):
        async with opened(path, version=1):
            pass


async def test_a_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    """A folder in its place, or no folder to make it in."""
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing" / "things.sqlite"):
        with pytest.raises(StartError, match="cannot be used"):
            async with opened(path):
                pass


async def test_a_start_that_was_interrupted_is_done_again(path: Path) -> None:
    """What a crash left of a database that was being made is no obstacle."""
    await asyncio.to_thread(path.with_name(path.name + ".new").write_bytes, b"half")
    async with opened(path) as sql:
        assert await count(sql) == 0
