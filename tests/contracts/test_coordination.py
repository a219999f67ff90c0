"""What every coordinator promises (`svc.kernel.coordination`). A new one joins by a line in `tests.contracts.coordinators`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from svc.kernel.coordination import Coordination
from svc.kernel.registry import Instance
from svc.kernel.shards import Move
from tests.contracts.coordinators import COORDINATORS, PARTITIONS, OpenCoordination, end_session, new_ensemble

ONE = Instance("127.0.0.1:1", "boot-1")
TWO = Instance("127.0.0.1:2", "boot-2")


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(15):
        while not holds():  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.01)


@pytest.fixture(params=COORDINATORS)
def open_coordinator(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenCoordination]:
    """Opens the same installation as often as a test wants, each time as another process has it."""
    ensemble = new_ensemble()
    yield ensemble.coordination
    ensemble.remove()


@pytest.fixture
async def pair(open_coordinator: OpenCoordination) -> AsyncIterator[tuple[Coordination, Coordination]]:
    """Two processes of one installation."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_coordinator())
        yield first, await stack.enter_async_context(open_coordinator())


async def test_the_first_process_deals_the_shards(open_coordinator: OpenCoordination):
    """And those after it find what was dealt."""
    async with open_coordinator() as first:
        assert (first.shards.partitions, first.shards.version) == (PARTITIONS, 1)
        assert await first.publish(first.shards.grown(8))
    async with open_coordinator() as second:
        assert (second.shards.partitions, second.shards.version) == (8, 2)


async def test_a_claim_is_one_process_alone(pair: tuple[Coordination, Coordination]):
    """The other one sees whose it is."""
    first, second = pair
    claim = await first.claim(3, ONE)
    assert claim is not None
    assert (claim.partition, claim.instance) == (3, ONE)
    assert await second.claim(3, TWO) is None
    await until(lambda: second.claims().get(3) == claim)
    assert first.claims() == {3: claim}


async def test_claim_numbers_grow_whoever_claims_whatever(pair: tuple[Coordination, Coordination]):
    """So that a node knows which of two owners is the later one."""
    first, second = pair
    claims = [await first.claim(0, ONE), await second.claim(1, TWO), await first.claim(2, ONE)]
    assert claims[0] is not None
    await first.release(claims[0])
    claims.append(await second.claim(0, TWO))
    numbers = [claim.number for claim in claims if claim is not None]
    assert len(numbers) == 4
    assert numbers == sorted(set(numbers))


async def test_what_is_released_can_be_claimed(pair: tuple[Coordination, Coordination]):
    """And giving back what was given back already disturbs nobody."""
    first, second = pair
    claim = await first.claim(1, ONE)
    assert claim is not None
    await first.release(claim)
    assert 1 not in first.claims()
    later = await second.claim(1, TWO)
    assert later is not None
    await first.release(claim)
    await until(lambda: first.claims().get(1) == later)
    assert second.claims()[1] == later


async def test_claims_end_with_the_process(open_coordinator: OpenCoordination):
    """However it ends."""
    async with open_coordinator() as watcher:
        async with open_coordinator() as dying:
            await dying.claim(0, ONE)
            await until(lambda: 0 in watcher.claims())
        await until(lambda: not watcher.claims())
        assert await watcher.claim(0, TWO) is not None


async def test_a_watcher_hears_of_claims_and_maps(pair: tuple[Coordination, Coordination]):
    """Until it wants to hear no more."""
    first, second = pair
    heard: list[tuple[int, int]] = []
    forget = second.watch(lambda: heard.append((len(second.claims()), second.shards.version)))
    await first.claim(0, ONE)
    await first.publish(first.shards.grown(8))
    await until(lambda: (1, 2) in heard)
    forget()
    await first.claim(1, ONE)
    await until(lambda: len(second.claims()) == 2)
    assert all(count < 2 for count, _ in heard)


async def test_a_map_is_published_over_its_predecessor_only(pair: tuple[Coordination, Coordination]):
    """Of two that were made from the same one the second is refused, and whoever made it reads again."""
    first, second = pair
    before = second.shards
    assert await first.publish(before.grown(6))
    assert not await second.publish(before.grown(7))
    newest = await second.read_shards()
    assert newest.partitions == 6
    assert second.shards == newest
    assert await second.publish(newest.moving({7: Move(2, 5, 10)}))
    assert (await first.read_shards()).moves == {7: Move(2, 5, 10)}


async def test_what_was_published_is_read(pair: tuple[Coordination, Coordination]):
    """`read_shards` is at least as new as what was published before it was called, each time."""
    first, second = pair
    for partitions in range(6, 30):
        assert await first.publish(first.shards.grown(partitions))
        assert (await second.read_shards()).partitions == partitions


@pytest.mark.real
async def test_giving_back_what_was_lost_takes_it_from_nobody():
    """An owner that was paused in the middle of giving a partition back does so when another has it already."""
    ensemble = new_ensemble()
    async with ensemble.session() as zookeeper, ensemble.coordination() as other:
        from svc.backends.zookeeper_coordination import open_coordination

        async with open_coordination(zookeeper, PARTITIONS) as coordination:
            lost = await coordination.claim(0, ONE)
            assert lost is not None
            sessions = zookeeper.sessions
            await asyncio.to_thread(end_session, zookeeper)
            taken = None
            async with asyncio.timeout(15):
                while taken is None:
                    taken = await other.claim(0, TWO)
            await until(lambda: zookeeper.sessions > sessions)
            await coordination.release(lost)
            assert await other.read_claims() == {0: taken}
            assert await coordination.read_claims() == {0: taken}
    ensemble.remove()


@pytest.mark.real
async def test_what_a_lost_session_held_is_gone_at_once():
    """The owner knows by its own table that it must stop (O2), and may claim again."""
    ensemble = new_ensemble()
    async with ensemble.session() as zookeeper:
        from svc.backends.zookeeper_coordination import open_coordination

        async with open_coordination(zookeeper, PARTITIONS) as coordination:
            claim = await coordination.claim(0, ONE)
            assert claim is not None
            heard: list[bool] = []
            coordination.watch(lambda: heard.append(0 in coordination.claims()))
            await asyncio.to_thread(end_session, zookeeper)
            await until(lambda: False in heard)
            again = None
            async with asyncio.timeout(15):
                while again is None:
                    again = await coordination.claim(0, ONE)
            assert again.number > claim.number
            assert coordination.claims() == {0: again}
            assert await coordination.publish(coordination.shards.grown(8))
    ensemble.remove()
