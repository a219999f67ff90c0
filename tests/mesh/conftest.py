"""A product for the whole run, people in it, and the table of cases by surface at the end."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from tests.mesh.people import People
from tests.mesh.product import Product, product
from tests.mesh.surfaces.table import SURFACES

# Small, so that a client that never reads is behind soon.
QUEUE_BYTES = 64 * 1024

_table = pytest.StashKey[dict[str, dict[str, str]]]()
_SHOWN = {"passed": "ok", "failed": "FAILED", "skipped": "-"}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("product"), SESSION_QUEUE_BYTES=str(QUEUE_BYTES)) as running:
        yield running
        assert running.process.poll() is None, "the product died"


@pytest_asyncio.fixture(loop_scope="session")
async def people(server: Product) -> AsyncIterator[People]:
    """People of a server that stays healthy: whatever they do, nothing in it fails."""
    before = len(server.log())
    async with AsyncExitStack() as stack:
        yield People(server.url, stack)
    faults = [line for line in server.log()[before:] if line.get("level", "ERROR") in ("ERROR", "WARNING")]
    assert faults == []


@pytest.fixture(params=list(SURFACES))
def surface(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_table] = defaultdict(dict)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    params = getattr(item, "callspec", None)
    surface = params.params.get("surface") if params else None
    if surface and (report.when == "call" or report.outcome != "passed"):
        others = [str(value) for name, value in params.params.items() if name != "surface"]
        case = " ".join([item.originalname.removeprefix("test_").replace("_", " "), *others])
        row = item.config.stash[_table][case]
        row[surface] = _SHOWN[report.outcome]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash[_table]
    if not table:
        return
    width = max(map(len, table))
    terminalreporter.section("case by surface")
    terminalreporter.line(f"{'':{width}}  " + "  ".join(SURFACES))
    for case, row in table.items():
        cells = (f"{row.get(name, ''):{len(name)}}" for name in SURFACES)
        terminalreporter.line(f"{case:{width}}  " + "  ".join(cells))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> dict[str, str]:
    """The row of a case that has all surfaces at once: it fills in the outcomes itself."""
    case = request.node.originalname.removeprefix("test_").replace("_", " ")
    return request.config.stash[_table][case]
