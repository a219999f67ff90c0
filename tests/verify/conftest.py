"""The town is built once; each test gets a copy to spoil."""

import shutil

import pytest

from tests.verify import judge
from tests.verify.town import Town, build


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    return build(tmp_path_factory.mktemp("town"))


@pytest.fixture
def town(built, tmp_path):
    folder = tmp_path / "town"
    shutil.copytree(built.folder, folder)
    return Town(folder, built.pushed)


@pytest.fixture(params=["sqlite", pytest.param("cassandra", marks=pytest.mark.real)])
def judged(request):
    """Judges a town by its file, or by what lies on Cassandra when all that is in the file is moved there."""
    return {"sqlite": judge.judged, "cassandra": judge.judged_on_cassandra}[request.param]
