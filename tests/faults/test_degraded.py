"""Each back end hangs, and is killed, under the whole product: what needs it says so, what does not goes on, all comes back.

Nobody but the test touches a back end: the processes of the product run through, without a restart and without hands.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import real
from tests.faults.installation import Installation
from tests.faults.load import Load, load
from tests.faults.recovery import RECOVERIES
from tests.faults.server import until
from tests.faults.verdict import verified

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

SERVICES = {"kafka": "kafka", "cassandra": "cassandra", "mysql": "mariadb", "redis": "redis", "zookeeper": "zookeeper"}
"""Back end → who serves it."""
NEEDED_TO_SEND = {"kafka", "cassandra"}
"""Without the others messages go on between those who are there."""
FAILED, BACK = "a back end does not answer", "a back end answers again"


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Backends]:
    # Alone it must keep what it acknowledged: by its default a process that is killed forgets up to 0.1 s of that.
    made = real.Backends(tmp_path_factory.mktemp("one"), CASSANDRA_SYNC="batch", CASSANDRA_HEAP="448", KAFKA_HEAP="256")
    try:
        asyncio.run(made.start(*SERVICES.values()))
        yield made
    finally:
        asyncio.run(made.wipe(*SERVICES.values()))


@pytest.fixture
def installation(backends: real.Backends, tmp_path: Path) -> Iterator[Installation]:
    name = real.unique("degraded")
    made = Installation(tmp_path, {setting: backends.address(who, name) for setting, who in SERVICES.items()})
    yield made
    made.discard()


def lines(installation: Installation, back_end: str) -> dict[str, Counter[str]]:
    """Process → what its readiness has said of a back end, how often. Only those that ask it."""
    found = {}
    for name, server in installation.processes.items():
        said = Counter(line["message"] for line in server.log("ERROR", "WARNING") if line.get("back_end") == back_end)
        if said[FAILED]:
            found[name] = said
    return found


def all_said(installation: Installation, back_end: str, users: set[str], what: str, times: int) -> Callable[[], bool]:
    """Whether all of its users have said so, so many times."""
    return lambda: all(lines(installation, back_end).get(name, Counter())[what] == times for name in users)


def refused(talk: Load) -> int:
    """Attempts to send that were answered, and not with success."""
    return sum(count for answer, count in talk.answers().items() if answer not in ("OK", 200))


async def felt(installation: Installation, talk: Load, back_end: str, users: set[str], times: int) -> None:
    """It is away: readiness tells, and sends are refused (and repeated by their clients), or go on without it."""
    before = refused(talk)
    await until(all_said(installation, back_end, users, FAILED, times), f"all say that {back_end} does not answer")
    if back_end in NEEDED_TO_SEND:
        await until(lambda: refused(talk) > before, f"sends are refused without {back_end}")
    else:
        await talk.more(100)


@pytest.mark.parametrize("back_end", SERVICES)
async def test_a_back_end_hangs_and_is_killed(backends: real.Backends, installation: Installation, back_end: str):
    """One line a transition in each process that uses it, and nothing lost."""
    node, users = SERVICES[back_end], {"front"} if back_end == "mysql" else set(installation.processes)
    await installation.start()
    async with load(installation) as talk:
        talk.start()
        await talk.more(100)
        await backends.pause(node)
        await felt(installation, talk, back_end, users, 1)
        await backends.resume(node)
        await RECOVERIES.measure(talk, f"{back_end} had hung, and goes on")
        await until(all_said(installation, back_end, users, BACK, 1), f"all say that {back_end} answers again")
        await backends.kill(node)
        await felt(installation, talk, back_end, users, 2)
        await backends.start(node)
        await RECOVERIES.measure(talk, f"{back_end} was killed, and is started again")
        await until(all_said(installation, back_end, users, BACK, 2), f"all say that {back_end} answers again")
        await talk.more(200)
        assert all(server.runs() for server in installation.processes.values())
        await verified(installation, talk, f"{back_end} hung and was killed")
    assert {name: (said[FAILED], said[BACK]) for name, said in lines(installation, back_end).items()} == dict.fromkeys(
        users, (2, 2)
    )
