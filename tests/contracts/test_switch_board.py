"""What every board of switches promises (`svc.kernel.switches.Board`)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svc.backends.file_switches import FILE, FileBoard
from svc.backends.redis import open_redis
from svc.backends.redis_switches import RedisBoard
from svc.kernel import addresses
from svc.kernel.clock import SystemClock
from svc.kernel.errors import Unavailable
from svc.kernel.switches import Board
from tests.real import address, unique


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.real)])
async def boards(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Board, Board]]:
    """The board as two processes have it."""
    if request.param == "file":
        yield FileBoard(tmp_path), FileBoard(tmp_path)
        return
    url = address("redis", unique("switches"))
    async with open_redis(addresses.parse(addresses.REDIS, url), SystemClock()) as redis:
        yield RedisBoard(redis), RedisBoard(redis)
        await redis.ask("remove", lambda client: client.delete(redis.key("switched-off")))


async def test_everything_is_on_at_first(boards: tuple[Board, Board]):
    """Until somebody switches."""
    assert await boards[0].read() == frozenset()


async def test_what_one_switches_the_others_see(boards: tuple[Board, Board]):
    """Off and on; twice is as once."""
    one, other = boards
    for name in ("typing", "read-marks", "typing"):
        await one.set(name, on=False)
    assert await other.read() == {"typing", "read-marks"}
    for _ in range(2):
        await other.set("typing", on=True)
    assert await one.read() == {"read-marks"}
    await one.set("never-off", on=True)
    assert await one.read() == {"read-marks"}


async def test_who_reads_while_others_switch_sees_one_or_the_other(boards: tuple[Board, Board]):
    """Never half of it."""
    one, other = boards
    await one.set("read-marks", on=False)

    async def switch() -> None:
        for turn in range(40):
            await one.set("typing", on=bool(turn % 2))

    switching = asyncio.create_task(switch())
    while not switching.done():
        assert await other.read() in ({"read-marks"}, {"read-marks", "typing"})
    await switching


async def test_a_file_that_cannot_be_read_decides_nothing(tmp_path: Path):
    """It is Unavailable, not empty."""
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(Unavailable, match="cannot be read"):
        await FileBoard(tmp_path).read()
    with pytest.raises(Unavailable, match="cannot be written"):
        await FileBoard(tmp_path / "missing").set("typing", on=False)
