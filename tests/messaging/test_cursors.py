"""A cursor resumes exactly after what arrived, or says that it cannot."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from svc.kernel.errors import DeviceRevoked, Draining, ProtocolViolation
from svc.kernel.lifecycle import owned
from svc.messaging import cursors
from svc.messaging.cursors import KEPT_SECONDS, CursorSession
from tests.messaging.world import ALICE, BOB, DIRECT, World, identity, open_world, told

BOBS = identity(BOB)
T = TypeVar("T")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Alice has written to Bob; sessions that nobody uses are ended."""
    async with open_world(tmp_path) as opened, owned(opened.cursors.run(), "cursors"):
        await opened.send(ALICE, BOB, "first")
        yield opened


async def take(found: CursorSession, last_seq: int) -> bytes:
    """What is handed out, up to that event."""
    frames = b""
    async with asyncio.timeout(20):
        while not any(event.conversation_event.seq == last_seq for event in told(frames)):
            await found.session.outbox.wait()
            frames += found.take()
    return frames


def seqs(frame: bytes) -> list[int]:
    return [
        event.conversation_event.seq
        for event in told(frame)
        if event.conversation_event.conversation_id == DIRECT and event.HasField("conversation_event")
    ]


async def until(world: World, holds: Callable[[], bool]) -> None:
    """Let seconds pass until something holds."""
    async with asyncio.timeout(10):
        while not holds():
            world.clock.advance(1.0)
            await asyncio.sleep(0)


async def meanwhile(world: World, work: Coroutine[Any, Any, T]) -> T:
    """The outcome of work, with time passing: after the steps of `until` the relay may be about to be opened again."""
    task = asyncio.create_task(work)
    while not task.done():
        world.clock.advance(0.1)
        await asyncio.sleep(0.002)
    return task.result()


async def test_without_a_cursor_a_session_starts_now(world: World):
    """What was there before is not told."""
    found = await world.cursors.resume(BOBS, "")
    assert not found.reset
    await world.send(ALICE, BOB, "second")
    assert seqs(await take(found, 2)) == [2]


async def test_a_cursor_goes_on_after_what_it_confirms(world: World):
    """What came in between is waiting, and nothing comes twice."""
    found = await world.cursors.resume(BOBS, "")
    await world.send(ALICE, BOB, "second")
    await take(found, 2)
    cursor = found.cursor()
    await world.send(ALICE, BOB, "third")
    again = await world.cursors.resume(BOBS, cursor)
    assert again is found
    assert again.again() == b""
    assert seqs(await take(again, 3)) == [3]


async def test_an_answer_that_was_lost_is_given_again(world: World):
    """As long as its cursor was not used."""
    found = await world.cursors.resume(BOBS, "")
    before = found.cursor()
    await world.send(ALICE, BOB, "second")
    lost = await take(found, 2)
    await world.send(ALICE, BOB, "third")
    more = await take(found, 3)
    for _ in range(2):
        again = await world.cursors.resume(BOBS, before)
        assert again.again() == lost + more
    confirmed = await world.cursors.resume(BOBS, found.cursor())
    assert confirmed.again() == b""


@pytest.mark.parametrize("cursor", ["nonsense", "nonsense.1", ".", "a.b.c", "é.٣"])
async def test_a_cursor_that_is_not_known_begins_with_everything(world: World, cursor: str):
    """As after Hello, and it says that it was reset."""
    found = await world.cursors.resume(BOBS, cursor)
    assert found.reset
    pages = [event.hello_page for event in told(found.take()) if event.HasField("hello_page")]
    assert pages[-1].complete
    assert DIRECT in {head.conversation_id for page in pages for head in page.conversations}


async def test_a_cursor_of_somebody_else_is_not_known(world: World):
    """Another user's, or another device's."""
    found = await world.cursors.resume(BOBS, "")
    for thief in (identity(ALICE), identity(BOB, "laptop")):
        other = await world.cursors.resume(thief, found.cursor())
        assert other.reset
        assert other.session is not found.session
    assert await world.cursors.resume(BOBS, found.cursor()) is found


async def test_a_cursor_from_before_what_is_kept_is_reset(world: World, monkeypatch: pytest.MonkeyPatch):
    """Too much was handed out unconfirmed: the oldest counts as arrived, and who asks for it is told so."""
    monkeypatch.setattr(cursors, "_RETAINED_BYTES", 1000)
    found = await world.cursors.resume(BOBS, "")
    begun = found.cursor()
    for seq in range(2, 8):
        await world.send(ALICE, BOB, "x" * 400)
        await take(found, seq)
    assert sum(len(frame) for _, frame in found.retained) <= 1000
    assert (await world.cursors.resume(BOBS, begun)).reset
    kept = await world.cursors.resume(BOBS, f"{found.token}.{found.confirmed}")
    assert kept is found
    assert seqs(kept.again()) == [6, 7]


async def test_a_cursor_of_the_future_is_reset(world: World):
    """It was never given out."""
    found = await world.cursors.resume(BOBS, "")
    assert (await world.cursors.resume(BOBS, f"{found.token}.{found.index + 1}")).reset


async def test_a_second_call_takes_the_session_over(world: World):
    """The first is told so at once, instead of taking what the second waits for."""
    found = await world.cursors.resume(BOBS, "")
    first = found.hold()
    found.check(first)
    found.take()
    waiting = asyncio.create_task(found.session.outbox.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    second = found.hold()
    async with asyncio.timeout(10):
        await waiting
    with pytest.raises(ProtocolViolation) as caught:
        found.check(first)
    assert caught.value.field == "cursor"
    found.check(second)


async def test_a_session_that_nobody_uses_ends_after_a_minute(world: World):
    """Its cursor is then reset; one in use is kept for as long as it is."""
    left = await world.cursors.resume(BOBS, "")
    used = await world.cursors.resume(BOBS, "")
    started = world.clock.monotonic()

    def ended() -> bool:
        world.cursors.used(used)
        return left.session.ended.is_set()

    await until(world, ended)
    assert KEPT_SECONDS < world.clock.monotonic() - started < KEPT_SECONDS + 10
    assert (await meanwhile(world, world.cursors.resume(BOBS, left.cursor()))).reset
    assert await world.cursors.resume(BOBS, used.cursor()) is used


async def test_a_user_has_so_many_sessions_and_the_oldest_gives_way(world: World):
    """Whoever waits on it is told so: it must not wait in vain, nor spin."""
    oldest = await world.cursors.resume(BOBS, "")
    holder = oldest.hold()
    others = [await world.cursors.resume(BOBS, "") for _ in range(16)]
    alices = await world.cursors.resume(identity(ALICE), "")
    with pytest.raises(ProtocolViolation, match="has ended"):
        oldest.check(holder)
    for kept in (*others, alices):
        kept.check(kept.holder)
    assert (await world.cursors.resume(BOBS, oldest.cursor())).reset


async def test_the_end_of_a_session_is_told_to_who_holds_it(world: World):
    """With its reason: the device was signed out, the node drains."""
    found = await world.cursors.resume(BOBS, "")
    holder = found.hold()
    found.session.end(DeviceRevoked("this device was signed out"))
    with pytest.raises(DeviceRevoked):
        found.check(holder)


async def test_a_cursor_that_cannot_be_opened_leaves_nothing_behind(world: World):
    """No session is held for a call that was refused."""
    world.people.signed_out.add("stolen")
    before = len(world.node._sessions)
    with pytest.raises(DeviceRevoked):
        await world.cursors.resume(identity(BOB, "stolen"), "")
    assert len(world.node._sessions) == before
    draining = asyncio.create_task(world.node.drain(1.0))
    await asyncio.sleep(0)
    with pytest.raises(Draining):
        await world.cursors.resume(BOBS, "")
    await until(world, draining.done)
