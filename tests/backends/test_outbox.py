"""The promises of the outbox: what commits is sent, in order, whatever fails in between."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from svc.backends.outbox import Outbox
from svc.backends.sql import Sql, open_sql
from svc.kernel.eventlog import Entry
from svc.kernel.lifecycle import owned
from svc.kernel.record import Kind, Record, decode, from_system, to_entry
from svc.kernel.shards import FixedShards, ShardMap
from tests.backends.boxes import BOXES, SCHEMA
from tests.fakes import FakeClock, MemoryLog
from tests.tables import PLACES, Place, tables

SHARDS = FixedShards(ShardMap.initial(5))


def record(number: int, conversation: str = "inbox.u1") -> Record:
    return from_system(Kind.LEFT, conversation, f"k{number}", number + 1, b"body")


def keys(entries: list[Entry]) -> list[str]:
    return [decode(entry.value).client_message_id for entry in entries]


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with tables(request.param, tmp_path / "box.sqlite", SCHEMA) as made:
        yield made


@pytest.fixture
async def sql(place: Place) -> AsyncIterator[Sql]:
    async with open_sql(place, SCHEMA) as opened:
        yield opened


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def outbox(sql: Sql, log: MemoryLog) -> Outbox:
    return Outbox(sql, BOXES, log, SHARDS, FakeClock())


async def add(sql: Sql, outbox: Outbox, *records: Record) -> None:
    async with sql.write() as connection:
        await outbox.add(connection, records)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, for ten seconds at most."""
    async with asyncio.timeout(10):
        while not await condition():
            pass


async def emptied(outbox: Outbox) -> None:
    async def empty() -> bool:
        return await outbox.pending() == 0

    await until(empty)


async def test_what_was_committed_is_sent_at_once_and_removed(sql: Sql, log: MemoryLog, outbox: Outbox) -> None:
    """Each record becomes the same entry that any producer would have made of it."""
    async with owned(outbox.run(), "outbox"):
        await add(sql, outbox, record(1), record(2, "g7"))
        assert await log.holds(2) == [to_entry(record(1), SHARDS.shards), to_entry(record(2, "g7"), SHARDS.shards)]
        await emptied(outbox)


async def test_nothing_is_sent_of_a_transaction_that_failed(sql: Sql, log: MemoryLog, outbox: Outbox) -> None:
    """The change did not happen, so nobody is told."""
    async with owned(outbox.run(), "outbox"):

        async def fail() -> None:
            async with sql.write() as connection:
                await outbox.add(connection, [record(1)])
                raise KeyError

        with pytest.raises(KeyError):
            await fail()
        await add(sql, outbox, record(2))
        assert keys(await log.holds(1)) == ["k2"]


async def test_records_are_sent_in_the_order_of_their_commits(sql: Sql, log: MemoryLog, outbox: Outbox) -> None:
    """Also across batches, and with writers side by side."""
    for number in range(250):
        await add(sql, outbox, record(number))
    async with owned(outbox.run(), "outbox"):
        await asyncio.gather(*(add(sql, outbox, record(number)) for number in range(250, 280)))
        sent = keys(await log.holds(280))
    assert sent[:250] == [f"k{number}" for number in range(250)]
    assert sorted(sent[250:]) == [f"k{number}" for number in range(250, 280)]


async def test_what_a_dead_process_left_is_sent_at_start(sql: Sql, log: MemoryLog, outbox: Outbox) -> None:
    """Commit, crash, start: the record is sent by whoever comes next."""
    await add(sql, outbox, record(1))
    successor = Outbox(sql, BOXES, log, SHARDS, FakeClock())
    async with owned(successor.run(), "outbox"):
        assert keys(await log.holds(1)) == ["k1"]


async def test_an_unknown_outcome_only_repeats(sql: Sql, log: MemoryLog, outbox: Outbox) -> None:
    """The log stored it and said otherwise: it is sent again, the same bytes with the same key."""
    log.forgetful = True
    async with owned(outbox.run(), "outbox"):
        await add(sql, outbox, record(1))
        first, second = await log.holds(2)
        assert first == second
        await emptied(outbox)


async def test_it_waits_for_the_log_and_says_so_once(
    sql: Sql, log: MemoryLog, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """A back end that is away costs nothing but time: one line when that begins, one when it ends."""
    caplog.set_level(logging.INFO, "svc.backends.outbox")
    log.down = True

    async def said(lines: int) -> bool:
        await asyncio.sleep(0)
        return len(caplog.records) == lines

    async with owned(outbox.run(), "outbox"):
        await add(sql, outbox, record(1))
        await until(partial(said, 1))
        log.down = False
        assert keys(await log.holds(1)) == ["k1"]
        await emptied(outbox)
        await until(partial(said, 2))
    assert [line.message for line in caplog.records] == [
        "the outbox of box waits: the log is down",
        "the outbox of box sends again",
    ]
