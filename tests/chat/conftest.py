"""One product for all tests of the chat program. Each test has people of its own."""

import itertools
import secrets
from collections.abc import Iterator

import pytest

from tests.mesh.product import Product, product

_RUN = secrets.token_hex(2)
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("product")) as running:
        yield running
        assert running.process.poll() is None, "the product died"


@pytest.fixture
def alice() -> str:
    return _name("alice")


@pytest.fixture
def bob() -> str:
    return _name("bob")


@pytest.fixture
def carol() -> str:
    return _name("carol")


def _name(base: str) -> str:
    return f"{base}.{_RUN}.{next(_NUMBERS)}"
