"""A node that is told to stop: its sessions move, what it accepted is answered, nothing new is taken."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from svc.delivery.hub import Hub
from svc.kernel.errors import Draining
from svc.kernel.record import Kind
from svc.kernel.relay import Answer
from svc.messaging.model import Draft
from tests.messaging.world import ALICE, BOB, World, hear, identity, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def until_done(world: World, draining: asyncio.Task[None]) -> None:
    """Let time pass."""
    async with asyncio.timeout(10):
        while not draining.done():
            world.clock.advance(1.0)
            await asyncio.sleep(0)


async def test_a_node_that_drains_tells_its_sessions_to_move_and_takes_no_more(world: World):
    """Each at another moment of the window; who is still there at its end is sent away."""
    kept = await world.enter(ALICE, "between two calls of a cursor")
    sessions = [await world.enter(ALICE, f"device {number}") for number in range(4)]
    for session in sessions:
        session.carrier = asyncio.current_task()
        await hear(session, lambda event: event.hello_page.complete)
    draining = asyncio.create_task(world.node.drain(8.0))
    moves = [await hear(session, lambda event: event.HasField("reconnect")) for session in sessions]
    assert sorted(found[-1].reconnect.after_ms for found in moves) == [0, 2000, 4000, 6000]
    with pytest.raises(Draining):
        world.node.enter(identity(BOB))
    world.node.leave(sessions[0])
    await until_done(world, draining)
    assert isinstance(kept.error, Draining)  # at once: there is nobody to tell
    assert sessions[0].error is None
    assert all(isinstance(session.error, Draining) for session in sessions[1:])


async def test_it_waits_for_nobody_who_has_left(world: World):
    """Streams end; an event stream leaves its session to the cursor, whose next call goes elsewhere."""
    stream, events = await world.enter(ALICE, "phone"), await world.enter(BOB, "browser")
    stream.carrier = events.carrier = asyncio.current_task()
    draining = asyncio.create_task(world.node.drain(3600.0))
    await hear(events, lambda event: event.HasField("reconnect"))
    world.node.leave(stream)
    events.carrier = None
    async with asyncio.timeout(10):
        while not draining.done():
            world.clock.advance(0.05)
            await asyncio.sleep(0)
    assert isinstance(events.error, Draining)


async def test_what_was_accepted_is_answered_before_it_ends(world: World, monkeypatch: pytest.MonkeyPatch):
    """The session is there to tell it to; what comes meanwhile is for another instance."""
    held: list[Answer] = []
    answer = Hub.answer
    monkeypatch.setattr(Hub, "answer", lambda hub, node, given: held.append(given))
    session = await world.enter(ALICE)
    session.carrier = asyncio.current_task()
    sending = asyncio.create_task(world.send(ALICE, BOB, "in time"))
    async with asyncio.timeout(10):
        while not held:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.001)
    draining = asyncio.create_task(world.node.drain(1.0))
    await hear(session, lambda event: event.HasField("reconnect"))
    async with asyncio.timeout(10):
        while True:
            world.clock.advance(0.05)
            await asyncio.sleep(0)
            try:
                await world.node.accept(ALICE, Draft(Kind.MESSAGE, BOB, b"", "too late"), 60.0, "")
            except Draining:
                break
    assert not draining.done()
    assert not session.ended.is_set()
    owner = world.stand.delivery.streams.owner
    assert owner is not None
    for given in held:
        answer(owner.hub, "node", given)
    assert (await sending)[1].seq == 1
    await until_done(world, draining)
    assert isinstance(session.error, Draining)
