"""A server, and a client that is signed in to it. Backoff is a hundred times as fast as outside of tests."""

from collections.abc import AsyncIterator

import pytest

from stonechat_client import Client, backoff
from tests.sdk.server import Server, serving


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "BASE_SECONDS", 0.01)


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with serving(server) as port, Client(f"http://127.0.0.1:{port}") as opened:
        await opened.sign_in("alice", "password")
        yield opened
