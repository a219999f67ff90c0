"""A gap in the inbox or in a group: what it told of is joined, left or ended all the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from svc.kernel.errors import DeviceRevoked
from svc.kernel.relay import Moved
from svc.messaging.session import Session
from tests.contracts.owner import until
from tests.messaging.world import ALICE, BOB, GROUP, World, hear, is_event, open_world, told


@asynccontextmanager
async def unheard(world: World, session: Session) -> AsyncIterator[None]:
    """What the inbox tells in this block is stored, and not pushed: the owner dies between the two."""
    owner = world.stand.delivery.streams.owner
    assert owner is not None
    relay = owner.hub.relay

    def lost(event):
        if event.conversation_id == session.inbox:
            owner.hub._relayed[event.conversation_id] = event.seq
        else:
            relay(event)

    owner.hub.relay = lost  # type: ignore[method-assign]
    yield
    owner.hub.relay = relay  # type: ignore[method-assign]


async def test_a_group_that_was_joined_unheard_is_pushed_all_the_same(tmp_path: Path):
    """As soon as the session knows that it missed something in its inbox."""
    async with open_world(tmp_path) as world:
        session = await world.enter(BOB)
        async with unheard(world, session):
            await world.change_group(joined=(ALICE, BOB))
        assert not session.is_in(GROUP)
        session.behind(session.inbox, 1)
        async with asyncio.timeout(20):
            while not session.is_in(GROUP):  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.005)
        await world.send(ALICE, GROUP, "welcome")
        told = await hear(session, is_event(GROUP, 2))
        assert any(event.behind.conversation_id == GROUP and event.behind.last_seq == 1 for event in told)


async def test_a_group_that_was_left_unheard_is_not_pushed_any_more(tmp_path: Path):
    """The list says so, too."""
    async with open_world(tmp_path) as world:
        await world.change_group(joined=(ALICE, BOB))
        session = await world.enter(BOB)
        async with unheard(world, session):
            await world.change_group(left=(BOB,))
        session.behind(session.inbox, 2)
        await until_out(session)


async def test_a_device_that_was_signed_out_unheard_ends(tmp_path: Path):
    """It would go on reading for as long as its token lasts."""
    async with open_world(tmp_path) as world:
        session = await world.enter(BOB, "phone")
        world.people.signed_out.add("phone")
        session.behind(session.inbox, 1)
        async with asyncio.timeout(20):
            await session.ended.wait()
        assert isinstance(session.error, DeviceRevoked)


async def test_the_node_sees_a_gap_in_the_inbox(tmp_path: Path):
    """Not only in what a test says."""
    async with open_world(tmp_path) as world:
        session = await world.enter(BOB)
        async with unheard(world, session):
            await world.change_group(joined=(ALICE, BOB))
        owner = world.stand.delivery.streams.owner
        assert owner is not None
        for queue in owner.hub._queues.values():
            queue.put(Moved(session.inbox, 1))
        async with asyncio.timeout(20):
            while not session.is_in(GROUP):  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.005)


async def test_a_removal_in_a_gap_of_the_group_is_found(tmp_path: Path):
    """By the list: neither the group nor the inbox was pushed anything of it."""
    async with open_world(tmp_path) as world:
        await world.change_group(joined=(ALICE, BOB))
        session = await world.enter(BOB)
        owner = world.stand.delivery.streams.owner
        assert owner is not None
        relay = owner.hub.relay
        owner.hub.relay = lambda event: owner.hub._relayed.update({event.conversation_id: event.seq})  # type: ignore[method-assign]
        await world.change_group(left=(BOB,))
        owner.hub.relay = relay  # type: ignore[method-assign]
        for queue in owner.hub._queues.values():
            queue.put(Moved(GROUP, 2))
        await world.send(ALICE, GROUP, "he is gone")
        await until_out(session)
        assert not any(event.conversation_event.conversation_id == GROUP for event in told(session.outbox.take()))


async def until_out(session: Session) -> None:
    """Until the session is not in the group any more."""

    async def out() -> bool:
        return not session.is_in(GROUP)

    await until(out)
