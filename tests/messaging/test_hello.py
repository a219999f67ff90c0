"""How a session is opened and greeted (protocol S10), and how many at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from stonechat.messaging.v1.event_pb2 import Event, HelloPage
from svc.kernel.errors import Busy, DeviceRevoked, Unavailable
from svc.kernel.ids import direct_conversation, inbox_of
from svc.kernel.record import Kind, from_system
from svc.messaging import hello
from svc.messaging.model import ReadMark
from svc.messaging.session import Session
from tests.messaging.world import ALICE, BOB, CAROL, DIRECT, GROUP, World, hear, identity, is_event, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, hello_admission=2) as opened:
        yield opened


async def pages(session: Session) -> list[HelloPage]:
    """The pages of the answer to Hello."""
    found = await hear(session, lambda event: event.hello_page.complete)
    return [event.hello_page for event in found if event.HasField("hello_page")]


async def test_hello_tells_what_differs_from_what_the_client_knows(world: World):
    """Where each conversation stands, what is unread in it, and how far it was read."""
    await world.send(ALICE, BOB, "one")
    await world.send(ALICE, BOB, "two")
    await world.node.mark_read(ReadMark(BOB, DIRECT, 1))
    await world.change_group(joined=(ALICE, BOB))
    await world.stand.heads(inbox_of(BOB), 2)
    (page,) = await pages(await world.enter(BOB))
    heads = {head.conversation_id: head for head in page.conversations}
    assert set(heads) == {DIRECT, GROUP, inbox_of(BOB)}
    assert (heads[DIRECT].last_seq, heads[DIRECT].unread_count, heads[DIRECT].read_seq) == (2, 1, 1)
    assert heads[DIRECT].timestamp.seconds > 0
    seqs = {name: head.last_seq for name, head in heads.items()}
    (page,) = await pages(await world.enter(BOB, "laptop", known=seqs))
    assert list(page.conversations) == []
    (page,) = await pages(await world.enter(BOB, "laptop", known=seqs | {DIRECT: 1}))
    assert [head.conversation_id for head in page.conversations] == [DIRECT]


async def test_hello_tells_what_the_user_is_no_longer_part_of(world: World):
    """What the client knows of others, or never was there."""
    await world.change_group(joined=(ALICE, BOB))
    await world.change_group(left=(BOB,))
    session = await world.enter(BOB, known={GROUP: 1, "g999": 3})
    (page,) = await pages(session)
    assert set(page.gone) == {GROUP, "g999"}
    assert not session.is_in(GROUP)


async def test_pages_come_most_recent_first_and_the_last_says_so(world: World, monkeypatch: pytest.MonkeyPatch):
    """So that a person sees first what was said last."""
    monkeypatch.setattr(hello, "PAGE_CONVERSATIONS", 2)
    others = [f"u{number}" for number in range(20, 25)]
    world.people.users |= set(others)
    for other in others:
        await world.send(other, ALICE, "hello")
    await world.stand.heads(inbox_of(ALICE), 5)
    found = await pages(await world.enter(ALICE, known={inbox_of(ALICE): 5}))
    assert [page.complete for page in found] == [False, False, True]
    names = [head.conversation_id for page in found for head in page.conversations]
    assert names == [direct_conversation(ALICE, other) for other in reversed(others)]


async def test_after_hello_every_event_is_pushed(world: World):
    """What comes while it is answered is in the answer, and not pushed as well."""
    await world.send(ALICE, BOB, "one")
    session = world.node.enter(identity(BOB))
    await world.node.open(session)
    await world.send(ALICE, BOB, "two")
    async with asyncio.timeout(30):
        while session.heads[DIRECT] < 2:  # noqa: ASYNC110 - nobody is told of what is not pushed
            await asyncio.sleep(0.01)
    await world.node.greet(session, {})
    await world.send(ALICE, BOB, "three")
    found = await hear(session, is_event(DIRECT, 3))
    page = next(event.hello_page for event in found if event.HasField("hello_page"))
    last = {head.conversation_id: head.last_seq for head in page.conversations}[DIRECT]
    pushed = [e.conversation_event.seq for e in found if e.conversation_event.conversation_id == DIRECT]
    assert last == 2
    assert pushed == [3]


async def test_the_first_message_of_two_who_never_talked_reaches_open_sessions(world: World):
    """By the inbox: the conversation opens in the middle of the session."""
    session = await world.enter(BOB)
    await pages(session)
    await world.send(ALICE, BOB, "hello")

    def comes(event: Event) -> bool:
        return event.behind.conversation_id == DIRECT or is_event(DIRECT, 1)(event)

    await hear(session, comes)
    await world.send(ALICE, BOB, "again")
    await hear(session, is_event(DIRECT, 2))


async def test_no_more_say_hello_at_once_than_the_setting_says(world: World):
    """The others are told when to come back, and those at work are not disturbed; then there is room again."""
    world.people.answers.clear()
    opening = [asyncio.create_task(world.enter(user)) for user in (ALICE, BOB)]
    await asyncio.sleep(0)
    refusals = []
    for _ in range(20):
        session = world.node.enter(identity(CAROL))
        with pytest.raises(Busy) as caught:
            await world.node.open(session)
        world.node.leave(session)
        refusals.append(caught.value.retry_after)
    assert all(0.5 <= seconds <= 2.0 for seconds in refusals if seconds is not None)
    assert len(set(refusals)) > 10
    world.people.answers.set()
    for session in await asyncio.gather(*opening):
        assert len(await pages(session)) == 1
    assert len(await pages(await world.enter(CAROL))) == 1


async def test_a_session_that_fails_to_open_gives_its_place_back(world: World):
    """Cancelled, refused, whatever: no place is lost."""
    world.people.signed_out.add("stolen")
    for _ in range(5):
        with pytest.raises(DeviceRevoked):
            await world.enter(ALICE, "stolen")
    world.people.answers.clear()
    for _ in range(5):
        opening = asyncio.create_task(world.enter(ALICE))
        await asyncio.sleep(0)
        opening.cancel()
        await asyncio.wait([opening])
    world.people.answers.set()
    await world.enter(ALICE)


async def test_a_session_that_cannot_be_opened_in_time_is_told_to_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """It may be that nobody owns its inbox just now."""
    monkeypatch.setattr(hello, "OPEN_SECONDS", 0.05)
    world.people.answers.clear()
    with pytest.raises(Unavailable, match="connect again"):
        await world.enter(ALICE)


async def test_a_device_that_is_signed_out_while_it_connects_does_not_stay(world: World):
    """Whoever reads that it is active hears of the end of that by the inbox."""
    session = await world.enter(ALICE, "phone")
    record = from_system(Kind.DEVICE_SIGNED_OUT, inbox_of(ALICE), "out", world.stand.ids.next(), b"")
    await world.stand.append(replace(record, joined=("phone",)))
    async with asyncio.timeout(10):
        await session.ended.wait()
    assert isinstance(session.error, DeviceRevoked)
