"""A product that keeps its promises, for tests of the suite that checks them."""

from collections.abc import Iterator

import pytest

from tests.mesh.product import Product, product


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("kept")) as running:
        yield running
