"""What is switched off is not told to others; what was asked for is stored all the same."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svc.kernel.switches import READ_MARKS, TYPING
from svc.messaging.model import ReadMark
from svc.messaging.session import Session
from tests.messaging.world import ALICE, BOB, DIRECT, World, open_world, told


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        await opened.send(ALICE, BOB, "first")
        yield opened


async def told_until_next_message(world: World, session: Session) -> set[str]:
    """The kinds of what a session is told: everything before the message, and what stands in one frame with it."""
    _, answer = await world.send(ALICE, BOB, "and then")
    kinds: set[str] = set()
    async with asyncio.timeout(20):
        while True:
            await session.outbox.wait()
            events = list(told(session.outbox.take()))
            kinds.update(event.WhichOneof("payload") for event in events)
            if any(event.conversation_event.seq == answer.seq for event in events):
                return kinds


async def what_bob_hears(world: World, seq: int) -> set[str]:
    """Alice writes, and has read up to a message. Of that, what Bob is told."""
    session = await world.enter(BOB)
    await world.node.typing(ALICE, DIRECT)
    await world.node.mark_read(ReadMark(ALICE, DIRECT, seq))
    return await told_until_next_message(world, session) & {"typing", "read_mark"}


async def test_with_everything_on_all_is_told(world: World):
    """So that the tests below can fail."""
    assert await what_bob_hears(world, 1) == {"typing", "read_mark"}


async def test_typing_can_be_left_out(world: World):
    """Nobody is told, and who writes notices nothing."""
    world.switches.by_hand([TYPING])
    assert await what_bob_hears(world, 1) == {"read_mark"}


async def test_read_marks_are_kept_though_not_told(world: World):
    """At the next Hello they are known."""
    world.switches.by_hand([READ_MARKS])
    assert await what_bob_hears(world, 1) == {"typing"}
    again = await world.enter(ALICE)
    async with asyncio.timeout(20):
        await again.outbox.wait()
        pages = [event.hello_page for event in told(again.outbox.take()) if event.HasField("hello_page")]
    assert {head.conversation_id: head.read_seq for page in pages for head in page.conversations}[DIRECT] == 1
