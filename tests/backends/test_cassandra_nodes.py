"""Three nodes, of which one hangs or dies under load: whoever writes does not notice."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svc.backends.cassandra import Cassandra, Insert, open_cassandra
from svc.backends.cassandra_migrations import migrate
from svc.kernel import addresses
from svc.kernel.errors import Unavailable
from tests.backends.cassandra import SEAL
from tests.real import Backends, private_backends

MARK = Insert("INSERT INTO read_marks (user_id, conversation_id, seq) VALUES (?, ?, ?) USING TIMESTAMP ?", key=1)


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Backends]:
    async with private_backends(tmp_path, "cassandra3") as started:
        yield started


class Load:
    """100 writes a second, each of a row of its own; those that raise Unavailable are written again, as delivery does."""

    def __init__(self, session: Cassandra) -> None:
        self._session = session
        self.acknowledged: list[int] = []
        self.repeated = 0

    async def run(self, first: int, count: int) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(first, first + count):
                group.create_task(self._write(number))
                await asyncio.sleep(0.01)

    async def _write(self, number: int) -> None:
        while True:
            try:
                await self._session.write([(MARK, (f"u{number}", "g1", number, number))])
            except Unavailable:
                self.repeated += 1
                await asyncio.sleep(0.05)
            else:
                self.acknowledged.append(number)
                return


@pytest.mark.real
@pytest.mark.timeout(600)
async def test_one_of_three_nodes_may_hang_or_die_under_load(nodes: Backends, capsys: pytest.CaptureFixture[str]):
    """Two are a quorum. Every write is acknowledged, and can be read when the node is back; how many had to be repeated is
    printed."""
    place = addresses.parse(addresses.CASSANDRA, nodes.address("cassandra3", "own"))
    await migrate(place)
    async with open_cassandra(place, SEAL) as session:
        load, first = Load(session), 1
        for what, stop, start in (("hangs", nodes.pause, nodes.resume), ("is killed", nodes.kill, nodes.start)):
            await load.run(first, 100)
            running = asyncio.create_task(load.run(first + 100, 800))
            await stop("cassandra3-2")
            await running
            await start("cassandra3-2" if what == "hangs" else "cassandra3")
            first += 900
            with capsys.disabled():
                print(f"\none of three {what}: {load.repeated} of 800 writes had to be repeated")
            load.repeated = 0
        assert sorted(load.acknowledged) == list(range(1, first))
        for number in load.acknowledged:
            assert await session.rows("SELECT seq FROM read_marks WHERE user_id = ?", (f"u{number}",)) == [(number,)]
