"""What one process agrees on with itself, and with its next run."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from svc.backends.sqlite_coordination import open_coordination
from svc.kernel.registry import Instance
from svc.kernel.shards import Move, ShardMap

OWN = Instance("127.0.0.1:1", "boot")


async def test_the_first_run_deals_the_shards_and_the_next_finds_what_came_of_it(tmp_path: Path):
    """The map is kept; claims end with the process, and their numbers go on growing."""
    async with open_coordination(tmp_path, 5) as first:
        assert first.shards == ShardMap.initial(5)
        assert await first.publish(first.shards.grown(8))
        claim = await first.claim(0, OWN)
        assert claim is not None
        assert first.claims() == {0: claim}
        assert await first.claim(0, OWN) is None
    async with open_coordination(tmp_path, 5) as second:
        assert second.shards.partitions == 8
        assert second.claims() == {}
        again = await second.claim(0, OWN)
        assert again is not None
        assert again.number > claim.number
        await second.release(claim)
        assert second.claims() == {0: again}
        await second.release(again)
        assert second.claims() == {}


async def test_a_map_is_published_over_its_predecessor_only(tmp_path: Path):
    """A watcher hears of it, until it wants to hear no more."""
    async with open_coordination(tmp_path, 5) as coordination:
        heard: list[int] = []
        forget = coordination.watch(lambda: heard.append(coordination.shards.version))
        before = coordination.shards
        assert await coordination.publish(before.moving({7: Move(2, 4, 10)}))
        assert not await coordination.publish(before.grown(6))
        forget()
        assert await coordination.publish(coordination.shards.grown(6))
        assert heard == [2]
        assert (await coordination.read_shards()).moves == {7: Move(2, 4, 10)}


async def test_who_is_cancelled_while_publishing_reads_what_came_of_it(tmp_path: Path):
    """The map may be stored all the same: whoever reads it next goes on from there."""
    async with open_coordination(tmp_path, 5) as coordination:
        for partitions in range(6, 40):
            publishing = asyncio.create_task(coordination.publish(coordination.shards.grown(partitions)))
            for _ in range(partitions % 4):
                await asyncio.sleep(0)
            publishing.cancel()
            await asyncio.wait([publishing])
            async with asyncio.timeout(10):
                while not await coordination.publish((await coordination.read_shards()).grown(partitions)):  # noqa: ASYNC110 - it is under way
                    await asyncio.sleep(0)
            assert coordination.shards.partitions == partitions


async def test_what_an_older_log_knew_is_taken_over(tmp_path: Path):
    """Partitions, the newest era and the newest claim."""
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as log, log:
        log.executescript(
            "CREATE TABLE partitions (id INTEGER PRIMARY KEY, partitions INTEGER);"
            "CREATE TABLE eras (partition INTEGER PRIMARY KEY, era INTEGER);"
            "CREATE TABLE claims (id INTEGER PRIMARY KEY, claim INTEGER);"
            "INSERT INTO partitions VALUES (1, 7); INSERT INTO eras VALUES (0, 3), (1, 3); INSERT INTO claims VALUES (1, 41);"
        )
    async with open_coordination(tmp_path, 5) as coordination:
        assert (coordination.shards.partitions, coordination.shards.incident) == (7, 3)
        claim = await coordination.claim(0, OWN)
        assert claim is not None
        assert claim.number == 42
