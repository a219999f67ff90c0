"""A world without a server, and the whole service behind a real one; on files, or a database of their own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svc.groups.adapters.sql import SCHEMA
from tests.groups.surface import Surface, open_surface
from tests.groups.world import World, open_world
from tests.tables import PLACES, setting


@pytest.fixture(params=PLACES)
async def mysql(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The setting of this name: nothing, so that tables are a file, or a database that has them."""
    async with setting(request.param, SCHEMA) as url:
        yield url


@pytest.fixture
async def world(tmp_path: Path, mysql: str) -> AsyncIterator[World]:
    async with open_world(tmp_path, mysql=mysql) as opened:
        yield opened


@pytest.fixture
async def surface(tmp_path: Path, mysql: str) -> AsyncIterator[Surface]:
    async with open_surface(tmp_path, mysql=mysql) as opened:
        yield opened
