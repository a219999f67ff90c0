"""SQLite on threads: what is written stays, what fails fails alone, and what is read is one moment."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from svc.backends import sqlite
from svc.backends.sqlite import Database, open_database
from svc.kernel.errors import StartError, Unavailable

SCHEMA = "CREATE TABLE notes (number INTEGER PRIMARY KEY, text TEXT NOT NULL);"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "notes.sqlite", SCHEMA) as opened:
        yield opened


async def note(database: Database, number: int, text: str = "") -> int:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO notes VALUES (?, ?)", (number, text))
        return number

    return await database.write(work)


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT number FROM notes ORDER BY rowid")]


async def test_a_read_sees_every_write_that_returned(database: Database):
    """Whichever reader it comes to."""
    for number in range(20):
        assert await note(database, number) == number
        for found in await asyncio.gather(*(database.read(numbers) for _ in range(4))):
            assert found == list(range(number + 1))


async def test_a_write_that_fails_is_undone_alone(database: Database):
    """Its neighbours in the same transaction are stored; it raises what went wrong, and leaves nothing."""

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES (100, '')")
        raise ValueError("in the middle")

    results = await asyncio.gather(
        note(database, 1),
        database.write(half),
        note(database, 1),
        note(database, 2),
        return_exceptions=True,
    )
    assert (results[0], results[3]) == (1, 2)
    assert isinstance(results[1], ValueError)
    assert isinstance(results[2], Unavailable)
    assert await database.read(numbers) == [1, 2]


async def test_many_writes_at_once_are_all_stored(database: Database):
    """More than fit into one transaction."""
    await asyncio.gather(*(note(database, number) for number in range(1000)))
    assert await database.read(numbers) == list(range(1000))


async def test_a_read_is_one_moment(database: Database):
    """What is written between two of its statements is not in the second."""
    await note(database, 1)
    begun, written = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> tuple[list[int], list[int]]:
        before = numbers(connection)
        begun.set()
        written.wait(10)
        return before, numbers(connection)

    reading = asyncio.create_task(database.read(work))
    await asyncio.to_thread(begun.wait, 10)
    await note(database, 2)
    written.set()
    assert await reading == ([1], [1])
    assert await database.read(numbers) == [1, 2]


async def test_a_read_that_fails_says_so_and_the_reader_goes_on(database: Database):
    """A driver's error becomes Unavailable, any other stays what it is."""
    for _ in range(2 * sqlite.READERS):
        with pytest.raises(Unavailable, match="no such table"):
            await database.read(lambda connection: connection.execute("SELECT * FROM missing"))
        with pytest.raises(ZeroDivisionError):
            await database.read(lambda connection: 1 / 0)
    assert await database.read(numbers) == []


async def test_what_a_write_returned_from_is_on_the_disk(database: Database):
    """The file is flushed with each transaction, and a crash leaves it whole."""
    for ask in (database.write, database.read):
        assert await ask(lambda c: c.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"
    assert await database.write(lambda c: c.execute("PRAGMA synchronous").fetchone()[0]) == 2


async def test_everything_submitted_is_done_before_the_file_is_closed(tmp_path: Path):
    """Then nothing more is taken, and whoever asks hears it at once."""
    path = tmp_path / "notes.sqlite"
    async with open_database(path, SCHEMA) as database:
        writes = [asyncio.create_task(note(database, number)) for number in range(600)]
        await asyncio.sleep(0)
    await asyncio.gather(*writes)
    for late in (note(database, 1000), database.read(numbers)):
        with pytest.raises(Unavailable, match="closed"):
            await late
    async with open_database(path, SCHEMA) as again:
        assert await again.read(numbers) == list(range(600))


async def test_a_caller_that_leaves_disturbs_nobody(database: Database):
    """The others get their answers."""
    leaving = [asyncio.create_task(note(database, number)) for number in range(10)]
    staying = asyncio.create_task(note(database, 100))
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    assert await staying == 100
    assert 100 in await database.read(numbers)


async def test_a_file_that_does_not_answer_is_unavailable(database: Database, monkeypatch: pytest.MonkeyPatch):
    """After a deadline, and only for as long as it does not."""
    monkeypatch.setattr(sqlite, "DEADLINE_SECONDS", 0.05)
    begun, release = threading.Event(), threading.Event()

    def work(connection: sqlite3.Connection) -> None:
        begun.set()
        release.wait(10)

    stuck = asyncio.create_task(database.write(work))
    await asyncio.to_thread(begun.wait, 10)
    with pytest.raises(Unavailable, match="has not answered"):
        await note(database, 1)
    with pytest.raises(Unavailable, match="has not answered"):
        await stuck
    release.set()
    monkeypatch.setattr(sqlite, "DEADLINE_SECONDS", 10.0)
    await note(database, 2)
    # The first one's outcome was unknown: it was stored after all.
    assert await database.read(numbers) == [1, 2]


async def test_a_full_disk_is_named_and_costs_nothing_that_was_stored(database: Database):
    """Writes fail while it is full, reads go on, and writes succeed again when there is room."""
    await note(database, 1)
    await database.write(lambda c: c.execute(f"PRAGMA max_page_count = {_pages(c) + 2}"))
    with pytest.raises(Unavailable, match="is full: make room"):
        await note(database, 2, "x" * 100_000)
    assert await database.read(numbers) == [1]
    results = await asyncio.gather(
        *(note(database, number, "x" * 100_000) for number in range(3, 6)), return_exceptions=True
    )
    assert all(isinstance(result, Unavailable) for result in results)
    await database.write(lambda c: c.execute("PRAGMA max_page_count = 1000000"))
    await note(database, 6, "x" * 100_000)
    assert await database.read(numbers) == [1, 6]


def _pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA page_count").fetchone()[0])


async def test_a_file_that_is_no_database_stops_the_start_and_is_left_alone(tmp_path: Path):
    """The text names the file; nothing is written over it."""
    path = tmp_path / "notes.sqlite"
    path.write_bytes(b"not a database " * 1000)
    with pytest.raises(StartError, match=r"notes\.sqlite"):
        async with open_database(path, SCHEMA):
            pytest.fail("it opened")
    assert path.read_bytes() == b"not a database " * 1000


async def test_a_damaged_file_stops_the_start(tmp_path: Path):
    """A page in the middle that is no page."""
    path = tmp_path / "notes.sqlite"
    async with open_database(path, SCHEMA) as database:
        for number in range(50):
            await note(database, number, "x" * 2000)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[3 * 4096 : 5 * 4096] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(StartError, match="damaged"):
        async with open_database(path, SCHEMA):
            pytest.fail("it opened")


async def test_the_file_is_for_its_owner_only(database: Database):
    """Messages of people are in it."""
    assert database.path.stat().st_mode & 0o077 == 0
