"""What is in flight stays below its bound, and nobody who waits is forgotten."""

import asyncio

import pytest

from svc.backends.budget import Budget


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_finds_no_room_waits_in_order():
    """Also who would fit, behind one who does not."""
    budget = Budget(10)
    order: list[int] = []

    async def holder(number: int, weight: int, release: asyncio.Event) -> None:
        taken = await budget.take(weight)
        order.append(number)
        await release.wait()
        budget.give_back(taken)

    releases = [asyncio.Event() for _ in range(4)]
    tasks = [
        asyncio.create_task(holder(number, weight, releases[number])) for number, weight in enumerate((6, 8, 2, 2))
    ]
    await turns()
    assert order == [0]
    releases[0].set()
    await turns()
    assert order == [0, 1, 2]
    for release in releases:
        release.set()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]


async def test_more_than_all_of_it_goes_alone():
    """And gives back what it took."""
    budget = Budget(10)
    taken = await budget.take(1000)
    waiter = asyncio.create_task(budget.take(1))
    await turns()
    assert not waiter.done()
    budget.give_back(taken)
    assert await waiter == 1
    assert await asyncio.wait_for(budget.take(9), 5) == 9


@pytest.mark.parametrize("granted_first", [False, True])
async def test_who_is_cancelled_while_waiting_takes_nothing(granted_first: bool):
    """Whether or not its turn comes in the same moment; who waits behind goes on."""
    budget = Budget(10)
    taken = await budget.take(10)
    first, second = asyncio.create_task(budget.take(10)), asyncio.create_task(budget.take(10))
    await turns()
    if granted_first:
        budget.give_back(taken)
        first.cancel()
    else:
        first.cancel()
        await turns()
        budget.give_back(taken)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await asyncio.wait_for(second, 5) == 10
