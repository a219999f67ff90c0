"""Servers that are ended whatever becomes of the test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
