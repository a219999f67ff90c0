"""The whole service behind a real server, in a folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes import FakeClock, MemoryLog
from tests.users.surface import Surface, open_surface


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
async def surface(tmp_path: Path, clock: FakeClock, log: MemoryLog) -> AsyncIterator[Surface]:
    async with open_surface(tmp_path, clock, log) as opened:
        yield opened
