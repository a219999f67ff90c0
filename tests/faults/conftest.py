"""Servers that are ended whatever becomes of the test."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.installation import Installation
from tests.faults.recovery import RECOVERIES
from tests.faults.server import Server


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers, each in a folder of its own unless one is given."""
    made: list[Server] = []

    def make(folder: Path | None = None, **settings: str) -> Server:
        home = folder or tmp_path / f"server{len(made)}"
        home.mkdir(exist_ok=True)
        made.append(Server(home, **settings))
        return made[-1]

    yield make
    for server in made:
        server.discard()


@pytest.fixture
def server(new_server: Callable[..., Server]) -> Server:
    """A server that is not started yet."""
    return new_server()


@pytest.fixture
async def installation(tmp_path: Path) -> AsyncIterator[Installation]:
    """Many processes on the shared back ends, none started yet."""
    made = Installation(tmp_path)
    yield made
    made.discard()
    await made.remove()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long each fault was felt."""
    if rows := RECOVERIES.table():
        terminalreporter.section("time to recover")
        for row in rows:
            terminalreporter.line(row)
