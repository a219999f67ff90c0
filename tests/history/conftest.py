"""A message store, of either kind, and history served from it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.history.archive import ALICE, BOB, DIRECT, Archive
from tests.history.rows import Rows, cassandra_rows, sqlite_rows
from tests.history.surface import Surface, open_surface

STORES = [
    pytest.param(sqlite_rows, id="sqlite"),
    pytest.param(cassandra_rows, id="cassandra", marks=pytest.mark.real),
]


@pytest.fixture(params=STORES)
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rows]:
    with request.param(tmp_path) as made:
        yield made


@pytest.fixture
def archive(rows: Rows) -> Archive:
    """Alice and Bob have a conversation, empty as yet."""
    made = Archive(rows)
    made.belongs(ALICE, DIRECT)
    made.belongs(BOB, DIRECT)
    return made


@pytest.fixture
async def surface(rows: Rows, archive: Archive) -> AsyncIterator[Surface]:
    async with rows.opened() as messages, open_surface(messages) as opened:
        yield opened
