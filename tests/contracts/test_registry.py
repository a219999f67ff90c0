"""What every registry promises (`svc.kernel.registry`)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from svc.backends.zookeeper_registry import open_registry
from svc.kernel.registry import Instance, Registry
from tests.contracts.coordinators import (
    REGISTRIES,
    SERVICES,
    OpenRegistry,
    end_session,
    new_ensemble,
    process_registry,
)

ONE = Instance("127.0.0.1:1", "boot-1")
TWO = Instance("[::1]:2", "boot-2")


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(15):
        while not holds():  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.01)


@pytest.fixture(params=REGISTRIES)
def open_one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenRegistry]:
    """Opens the same registry as often as a test wants, each time as another process has it."""
    if request.param == "process":
        yield process_registry(tmp_path)
        return
    ensemble = new_ensemble()
    yield ensemble.registry
    ensemble.remove()


@pytest.fixture
async def pair(open_one: OpenRegistry) -> AsyncIterator[tuple[Registry, Registry]]:
    """Two processes."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_one())
        yield first, await stack.enter_async_context(open_one())


async def test_who_is_up_is_seen_by_all(pair: tuple[Registry, Registry]):
    """In the same order by everybody."""
    first, second = pair
    await first.register("delivery", ONE)
    await second.register("delivery", TWO)
    await until(
        lambda: first.instances("delivery") == second.instances("delivery") == tuple(sorted((ONE, TWO), key=str))
    )
    assert first.instances("messaging") == ()
    assert first.snapshot().get("delivery") == first.instances("delivery")


async def test_who_leaves_is_gone(pair: tuple[Registry, Registry]):
    """Leaving twice is leaving; so is leaving without having come."""
    first, second = pair
    await first.register("delivery", ONE)
    await until(lambda: second.instances("delivery") == (ONE,))
    await first.deregister("delivery", ONE)
    await first.deregister("delivery", ONE)
    await second.deregister("messaging", TWO)
    await until(lambda: second.instances("delivery") == first.instances("delivery") == ())


async def test_registering_twice_is_being_there_once(pair: tuple[Registry, Registry]):
    """A repeat after an unknown outcome."""
    first, second = pair
    await first.register("delivery", ONE)
    await first.register("delivery", ONE)
    await until(lambda: second.instances("delivery") == (ONE,))


async def test_a_watcher_hears_of_each_change(pair: tuple[Registry, Registry]):
    """Until it wants to hear no more."""
    first, second = pair
    heard: list[int] = []
    forget = second.watch(lambda: heard.append(len(second.instances("delivery"))))
    await first.register("delivery", ONE)
    await until(lambda: 1 in heard)
    await first.register("delivery", TWO)
    await until(lambda: 2 in heard)
    forget()
    await first.deregister("delivery", TWO)
    await until(lambda: second.instances("delivery") == (ONE,))
    assert heard[-1] == 2


@pytest.mark.real
async def test_what_a_process_registered_ends_with_it():
    """However it ends."""
    ensemble = new_ensemble()
    async with ensemble.registry() as watcher:
        async with ensemble.registry() as dying:
            await dying.register("messaging", ONE)
            await until(lambda: watcher.instances("messaging") == (ONE,))
        await until(lambda: watcher.instances("messaging") == ())
    ensemble.remove()


@pytest.mark.real
async def test_who_lost_the_session_is_up_again_by_itself():
    """A process that ZooKeeper had given up lives: it says so in its next session."""
    ensemble = new_ensemble()
    async with (
        ensemble.registry() as watcher,
        ensemble.session() as zookeeper,
        open_registry(zookeeper, SERVICES) as registry,
    ):
        await registry.register("delivery", ONE)
        await until(lambda: watcher.instances("delivery") == (ONE,))
        gone: list[bool] = []
        watcher.watch(lambda: gone.append(watcher.instances("delivery") == ()))
        await asyncio.to_thread(end_session, zookeeper)
        await until(lambda: True in gone)
        await until(lambda: watcher.instances("delivery") == registry.instances("delivery") == (ONE,))
    ensemble.remove()
