"""A product for the whole run, people in it, and the table of cases by surface at the end."""

from collections.abc import AsyncIterator, Iterable, Iterator

import pytest
import pytest_asyncio

from stonechat_conformance import people as crowd
from stonechat_conformance.patience import Patience
from stonechat_conformance.people import People, Server
from stonechat_conformance.report import Row, text_table
from stonechat_conformance.surfaces.table import SURFACES
from tests.mesh.product import Product, product

# Small, so that a client that never reads is behind soon.
QUEUE_BYTES = 64 * 1024

_table = pytest.StashKey[dict[str, Row]]()
_SHOWN = {"passed": "ok", "failed": "FAILED", "skipped": "-"}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with product(tmp_path_factory.mktemp("product"), SESSION_QUEUE_BYTES=str(QUEUE_BYTES)) as running:
        yield running
        assert running.process.poll() is None, "the product died"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tested(server: Product) -> AsyncIterator[Server]:
    async with crowd.server(server.url, Patience()) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def people(tested: Server, server: Product, request: pytest.FixtureRequest) -> AsyncIterator[People]:
    """People of a server that stays healthy: whatever they do, nothing in it fails."""
    before = server.log_end()
    async with crowd.people(tested, _surface(request.node) or "connect") as found:
        yield found
    assert [line for line in server.log(before) if line.get("level", "ERROR") in ("ERROR", "WARNING")] == []


@pytest.fixture(params=list(SURFACES))
def surface(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_table] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    surface = _surface(item)
    if surface and (report.when == "call" or report.outcome != "passed"):
        others = [str(value) for name, value in item.callspec.params.items() if name not in ("surface", "case")]
        case = item.callspec.params.get("case")
        name = case.group or case.name if case else " ".join([_name(item), *others])
        row = _row(item.config, name, case.without if case else ())
        if row.cells[surface] != "FAILED":
            row.cells[surface] = _SHOWN[report.outcome]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_table]:
        terminalreporter.section("case by surface")
        for line in text_table(list(config.stash[_table].values()), list(SURFACES)):
            terminalreporter.line(line)


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> dict[str, str]:
    """The cells of a case that has all surfaces at once: it fills in the outcomes itself."""
    return _row(request.config, _name(request.node)).cells


def _row(config: pytest.Config, name: str, without: Iterable[str] = ()) -> Row:
    row = config.stash[_table].setdefault(name, Row(name, dict.fromkeys(SURFACES, "")))
    row.cells |= {surface: "-" for surface in without if not row.cells[surface]}
    return row


def _name(item: pytest.Item) -> str:
    return item.originalname.removeprefix("test_").replace("_", " ")


def _surface(item: pytest.Item) -> str:
    """The surface that a test is about, or nothing."""
    return str(item.callspec.params.get("surface", "")) if hasattr(item, "callspec") else ""
