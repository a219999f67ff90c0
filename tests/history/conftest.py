"""A message store in a file, and history served from it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.history.archive import ALICE, BOB, DIRECT, Archive
from tests.history.surface import Surface, open_surface


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Alice and Bob have a conversation, empty as yet."""
    opened = Archive(tmp_path / "messages.db")
    opened.belongs(ALICE, DIRECT)
    opened.belongs(BOB, DIRECT)
    yield opened
    opened.close()


@pytest.fixture
async def surface(archive: Archive, tmp_path: Path) -> AsyncIterator[Surface]:
    async with open_surface(tmp_path / "messages.db") as opened:
        yield opened
