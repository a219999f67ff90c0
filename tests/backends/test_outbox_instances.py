"""Several instances send from one outbox: nothing is lost, first appearances are in order, and work is not done twice for
nothing."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from svc.backends import outbox as outbox_module
from svc.backends.outbox import Outbox
from svc.backends.sql import Sql, open_sql
from svc.backends.sql_mysql import migrate
from svc.kernel.lifecycle import owned
from tests.backends.boxes import SCHEMA, THINGS
from tests.backends.outbox_instance import FileLog, box, change, make
from tests.fakes import MemoryLog
from tests.tables import PLACES, Place, database, parsed, tables

SHARED = ["g1", "g2", "g3", "g4"]


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with tables(request.param, tmp_path / "box.sqlite", SCHEMA) as made:
        yield made


@asynccontextmanager
async def instance(url: str, log: Path, things: Sequence[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.backends.outbox_instance", url, log, *things, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        _, said = await process.communicate()
        # A machine that has too much to do may keep one waiting for a row; but none dies, and none waits in a circle.
        assert b"Traceback" not in said, said.decode()
        assert b"others change the same" not in said, said.decode()


def read(log: Path) -> list[tuple[str, int]]:
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(thing, int(version)) for thing, version in lines]


async def longer(log: Path, than: int) -> None:
    async def is_longer() -> bool:
        return len(await asyncio.to_thread(read, log)) > than

    await until(is_longer, 60)


async def emptied(outbox: Outbox) -> None:
    async def empty() -> bool:
        return await outbox.pending() == 0

    await until(empty, 30)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.02)


async def versions(sql: Sql) -> dict[str, int]:
    async with sql.read() as connection:
        return {row.name: row.version for row in await connection.execute(select(THINGS))}


def first_appearances(entries: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for thing, version in dict.fromkeys(entries):
        found.setdefault(thing, []).append(version)
    return found


@pytest.mark.real
@pytest.mark.timeout(400)
async def test_instances_that_are_killed_lose_nothing_and_keep_the_order(tmp_path: Path) -> None:
    """Two at work on the same things and on some of their own; each is killed and replaced again and again, wherever it is.
    In the end, and no one having been told to look, every version of every thing is in the log, the first time in order."""
    log = tmp_path / "log"
    own = [f"g1{number}" for number in range(6)]
    rng = random.Random(7)
    async with database() as url:
        await migrate(parsed(url), [SCHEMA])
        async with open_sql(parsed(url), SCHEMA) as sql:
            await make(sql, [*SHARED, *own])
            places = [AsyncExitStack(), AsyncExitStack()]
            try:
                for turn, name in enumerate(own):
                    there = len(await asyncio.to_thread(read, log))
                    await places[turn % 2].aclose()  # kill -9
                    await places[turn % 2].enter_async_context(instance(url, log, [*SHARED, name]))
                    await longer(log, there + rng.randrange(20, 150))
            finally:
                for each in places:
                    await each.aclose()
            last = box(sql, FileLog(log))
            async with owned(last.run(), "outbox"):
                await emptied(last)
            expected = {
                thing: list(range(1, version + 1)) for thing, version in (await versions(sql)).items() if version
            }
    entries = await asyncio.to_thread(read, log)
    print(f"{len(set(entries))} records, {len(entries) - len(set(entries))} repeats, {len(own)} kills")
    assert first_appearances(entries) == expected


@pytest.mark.real
async def test_what_a_killed_instance_left_is_sent_by_another_that_has_enough_to_do(tmp_path: Path) -> None:
    """Within seconds, however much there is of its own."""
    log = tmp_path / "log"
    async with database() as url:
        await migrate(parsed(url), [SCHEMA])
        async with open_sql(parsed(url), SCHEMA) as sql:
            await make(sql, ["g1", "g2"])
            await change(sql, box(sql, FileLog(tmp_path / "none")), "g2")  # one that ends here
            async with instance(url, log, ["g1"]):

                async def taken_up() -> bool:
                    return ("g2", 1) in await asyncio.to_thread(read, log)

                await until(taken_up, 60)


async def test_two_that_find_the_same_left_do_not_both_send_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sweeps, the other leaves it to that one."""
    monkeypatch.setattr(outbox_module, "LOOK_SECONDS", 0.05)
    log = MemoryLog()
    async with open_sql(place, SCHEMA) as sql, open_sql(place, SCHEMA) as other:
        await make(sql, SHARED)
        gone = box(sql, log)
        for number in range(500):
            await change(sql, gone, SHARED[number % len(SHARED)])
        async with owned(box(sql, log).run(), "outbox"), owned(box(other, log).run(), "outbox"):
            assert len(await log.holds(500)) == 500
            await emptied(gone)
    assert len(log.entries) == 500


async def test_each_sends_its_own_at_once(place: Place) -> None:
    """Nobody waits for a look of another: who made a change returns when it is in the log."""
    log = MemoryLog()
    async with open_sql(place, SCHEMA) as sql, open_sql(place, SCHEMA) as other:
        await make(sql, ["g1", "g2"])
        one, two = box(sql, log), box(other, log)
        async with owned(one.run(), "outbox"), owned(two.run(), "outbox"):
            for number in range(1, 21):
                await asyncio.gather(change(sql, one, "g1"), change(other, two, "g2"))
                await asyncio.gather(one.settled("g1", 60), two.settled("g2", 60))
                assert len(log.entries) == 2 * number
