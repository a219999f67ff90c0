"""Many questions become few requests; each is asked after it was had, and nobody pays for who goes away."""

import asyncio
from collections.abc import Sequence

import pytest

from svc.kernel.errors import Unavailable
from svc.kernel.together import AT_ONCE, Together


class Answers:
    """Somebody who knows that even numbers are even, when told to go on."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.go = asyncio.Event()
        self.trouble = False

    async def ask(self, keys: Sequence[int]) -> frozenset[int]:
        self.asked.append(list(keys))
        await self.go.wait()
        if self.trouble:
            raise Unavailable("nobody is here")
        return frozenset(key for key in keys if key % 2 == 0)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_while_requests_are_under_way_goes_with_the_next() -> None:
    """Few at once go by themselves; everybody gets the answer to their own question."""
    answers = Answers()
    together = Together(answers.ask, 1000)
    tasks = []
    for key in range(100):
        tasks.append(asyncio.create_task(together.holds(key)))
        await turns()
    assert answers.asked == [[key] for key in range(AT_ONCE)]
    answers.go.set()
    assert await asyncio.gather(*tasks) == [key % 2 == 0 for key in range(100)]
    assert answers.asked[AT_ONCE:] == [list(range(AT_ONCE, 100))]


async def test_a_question_is_never_answered_by_what_was_asked_before() -> None:
    """The same key again, while it is being asked for, is asked for again: the answer may have changed."""
    answers = Answers()
    together = Together(answers.ask, 1000)
    first = asyncio.create_task(together.holds(2))
    await turns()
    second = asyncio.create_task(together.holds(2))
    await turns()
    assert answers.asked == [[2], [2]]
    answers.go.set()
    assert await asyncio.gather(first, second) == [True, True]


async def test_no_request_is_larger_than_it_may_be() -> None:
    answers = Answers()
    together = Together(answers.ask, 10)
    tasks = [asyncio.create_task(together.holds(key)) for key in range(100)]
    answers.go.set()
    assert await asyncio.gather(*tasks) == [key % 2 == 0 for key in range(100)]
    assert max(map(len, answers.asked)) <= 10


@pytest.mark.parametrize("under_way", [True, False])
async def test_who_goes_away_takes_nobody_along(under_way: bool) -> None:
    """Neither the one who asks for all, wherever it is, nor one of the others."""
    answers = Answers()
    together = Together(answers.ask, 1000)
    busy = [] if under_way else [asyncio.create_task(together.holds(key)) for key in range(0, 2 * AT_ONCE, 2)]
    if busy:
        for _ in range(AT_ONCE):
            await turns()
    tasks = [asyncio.create_task(together.holds(key)) for key in (100, 101, 102)]
    await turns()
    tasks[0].cancel()
    await turns()
    tasks[1].cancel()
    await turns()
    answers.go.set()
    assert await asyncio.gather(*tasks[2:], *busy) == [True] * (1 + len(busy))
    assert tasks[0].cancelled()
    assert tasks[1].cancelled()


async def test_trouble_is_told_to_all_who_asked_and_to_nobody_later() -> None:
    answers = Answers()
    answers.trouble = True
    together = Together(answers.ask, 1000)
    tasks = [asyncio.create_task(together.holds(key)) for key in range(20)]
    await turns()
    answers.go.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    answers.trouble = False
    assert await together.holds(2)
