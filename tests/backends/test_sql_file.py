"""The promises of tables in a file: what a disk, a crash and another program can do to it."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import event, insert, text

from svc.backends import sql_sqlite, sql_transactions
from svc.backends.sql import open_sql
from svc.kernel.errors import StartError, Unavailable
from tests.backends.counters import COUNTERS, SCHEMA
from tests.backends.test_sql import count, store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "things.sqlite"


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_files_are_readable_by_their_owner_only(path: Path) -> None:
    """All of them, write-ahead log included, also when somebody loosened them before."""
    async with open_sql(path, SCHEMA):
        pass
    await asyncio.to_thread(path.chmod, 0o644)
    async with open_sql(path, SCHEMA) as sql:
        await store(sql, "a")
        modes = await asyncio.to_thread(modes_in, path.parent)
    assert set(modes.values()) == {0o600}, modes


async def test_a_statement_that_takes_too_long_ends_as_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every statement has a deadline, and the database answers afterwards."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000000) SELECT sum(i) FROM n"
    async with open_sql(path, SCHEMA) as sql:

        async def stall() -> None:
            async with sql.write() as connection:
                await connection.execute(insert(COUNTERS).values(name="a", value=1))
                await connection.execute(text(endless))

        with monkeypatch.context() as patch:
            patch.setattr(sql_transactions, "TRANSACTION_SECONDS", 0.05)
            with pytest.raises(Unavailable):
                await stall()
        assert await count(sql) == 0
        await store(sql, "a")
        assert await count(sql) == 1


async def test_a_database_locked_by_another_process_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's lock is waited for, then the caller is told to come back."""
    monkeypatch.setattr(sql_sqlite, "_BUSY_SECONDS", 0.05)
    async with open_sql(path, SCHEMA) as sql:
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
    async with open_sql(path, SCHEMA) as sql:
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
    async with open_sql(path, SCHEMA) as sql:
        for number in range(50):
            await store(sql, f"n{number}", ballast=2000)
    damaged = damage(path, how)
    with pytest.raises(StartError, match=r"is damaged: restore it from a backup or move it away; nothing was changed"):
        async with open_sql(path, SCHEMA):
            pass
    assert await asyncio.to_thread(path.read_bytes) == damaged


async def test_a_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    """A folder in its place, or no folder to make it in."""
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "missing" / "things.sqlite"):
        with pytest.raises(StartError, match="cannot be used"):
            async with open_sql(path, SCHEMA):
                pass


async def test_a_start_that_was_interrupted_is_done_again(path: Path) -> None:
    """What a crash left of a database that was being made is no obstacle."""
    await asyncio.to_thread(path.with_name(path.name + ".new").write_bytes, b"half")
    async with open_sql(path, SCHEMA) as sql:
        assert await count(sql) == 0
