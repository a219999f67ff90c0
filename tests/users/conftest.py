"""The whole service behind a real server, on a file or a database of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svc.users.adapters.sql import SCHEMA
from tests.fakes import FakeClock, MemoryLog
from tests.tables import PLACES, setting
from tests.users.surface import Surface, open_surface


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture(params=PLACES)
async def mysql(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The setting of this name: nothing, so that tables are a file, or a database that has them."""
    async with setting(request.param, SCHEMA) as url:
        yield url


@pytest.fixture
async def surface(tmp_path: Path, clock: FakeClock, log: MemoryLog, mysql: str) -> AsyncIterator[Surface]:
    async with open_surface(tmp_path, clock, log, mysql=mysql) as opened:
        yield opened
