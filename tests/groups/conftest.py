"""A world without a server, and the whole service behind a real one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.groups.surface import Surface, open_surface
from tests.groups.world import World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


@pytest.fixture
async def surface(tmp_path: Path) -> AsyncIterator[Surface]:
    async with open_surface(tmp_path) as opened:
        yield opened
