"""The town is built once; each test gets a copy to spoil."""

import shutil

import pytest

from tests.verify.town import Town, build


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("town"))


@pytest.fixture
def town(built, tmp_path):
    folder = tmp_path / "town"
    shutil.copytree(built.folder, folder)
    return Town(folder, built.pushed)
