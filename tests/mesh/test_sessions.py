"""How sessions begin, resume and end, on every surface alike."""

import asyncio
import contextlib
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1.event_pb2 import HelloPage
from stonechat.users.v1 import user_service_pb2 as users
from tests.mesh.device import Device
from tests.mesh.people import People, direct
from tests.mesh.product import Product
from tests.mesh.refusal import Refused
from tests.mesh.surfaces.model import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")

GROUPS = 210


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def popular(server: Product) -> str:
    """The name of a user with more conversations than fit on a page."""
    async with AsyncExitStack() as stack:
        people = People(server.url, stack)
        name = await people.register()
        alice = await people.sign_in(name, "grpc+poll")
        for number in range(GROUPS):
            await alice.call(groups.CreateGroupRequest(name=str(number)))
        await alice.listen()
        group_id = (await alice.call(groups.CreateGroupRequest(name="last"))).group_id
        await alice.until_event(group_id, "membership")
        return name


async def hello(device: Device, known: dict[str, int]) -> list[HelloPage]:
    """What a session is told first: all pages."""
    # Those that resume by cursor are told so when they come with one that is lost.
    place = Place(known, cursor="lost.1" if device.surface.resumes_by_cursor else "")
    pages: list[HelloPage] = []
    async with asyncio.timeout(20), contextlib.aclosing(device.surface.listen(device.token, place)) as batches:
        async for batch in batches:
            assert batch.reset == (device.surface.resumes_by_cursor and not pages)
            pages += [event.hello_page for event in batch.events if event.HasField("hello_page")]
            if pages and pages[-1].complete:
                return pages
    raise AssertionError("no complete answer")


async def test_hundreds_of_conversations_come_in_pages(people: People, popular: str, surface: str):
    device = await people.sign_in(popular, surface)
    pages = await hello(device, {})
    assert [page.complete for page in pages] == [False, True]
    heads = [head for page in pages for head in page.conversations]
    assert len(pages[0].conversations) == 200
    assert len({head.conversation_id for head in heads}) == len(heads) == GROUPS + 2  # the last, and the inbox
    assert all(head.last_seq >= 1 for head in heads)
    times = [head.timestamp.ToNanoseconds() for head in heads if not head.conversation_id.startswith("inbox.")]
    assert times == sorted(times, reverse=True)
    listed, token = [], ""
    while page := await device.call(history.ListConversationsRequest(page_size=200, page_token=token)):
        listed += page.conversations
        token = page.next_page_token
        if not token:
            break
    assert listed == [head for head in heads if not head.conversation_id.startswith("inbox.")]


@pytest.mark.parametrize("surface", ["connect", "grpc-web", "grpc-web-text"])
async def test_hello_is_answered_with_what_differs(people: People, surface: str):
    alice, bob = await people.two(surface)
    carol = await people.device(surface)
    await alice.send(bob.user_id, "one")
    await alice.send(carol.user_id, "one")
    await bob.send(carol.user_id, "of others")
    talk, other, foreign = direct(alice, bob), direct(alice, carol), direct(bob, carol)
    await alice.until_messages(other, ["one"])
    await alice.stop()
    inbox = alice.books[alice.inbox][-1].seq
    (page,) = await hello(alice, {alice.inbox: inbox, talk: 1, other: 1})
    assert (list(page.conversations), list(page.gone), page.complete) == ([], [], True)
    await bob.send(alice.user_id, "two")
    (page,) = await hello(alice, {alice.inbox: inbox, talk: 1, other: 1, foreign: 1})
    assert [(head.conversation_id, head.last_seq, head.unread_count) for head in page.conversations] == [(talk, 2, 2)]
    assert list(page.gone) == [foreign]


async def test_who_comes_back_gets_what_was_missed_once_and_in_order(people: People, surface: str):
    alice, bob = await people.two(surface)
    carol = await people.device(surface)
    await alice.send(bob.user_id, "before")
    await bob.until_messages(direct(alice, bob), ["before"])
    await bob.stop()
    await alice.send(bob.user_id, "meanwhile")
    await carol.send(bob.user_id, "a stranger, meanwhile")
    await bob.resume()
    await alice.send(bob.user_id, "after")
    await bob.until_messages(direct(alice, bob), ["before", "meanwhile", "after"])
    await bob.until_messages(direct(bob, carol), ["a stranger, meanwhile"])


async def test_who_lost_its_cursor_gets_what_was_missed_too(people: People, surface: str):
    alice, bob = await people.two(surface)
    await alice.send(bob.user_id, "before")
    await bob.until_messages(direct(alice, bob), ["before"])
    await bob.stop()
    await alice.send(bob.user_id, "meanwhile")
    bob.place.cursor = "of another life.7" if bob.place.cursor else ""
    await bob.resume()
    await bob.until_messages(direct(alice, bob), ["before", "meanwhile"])
    assert bob.resets == (1 if bob.surface.resumes_by_cursor else 0)


@pytest.mark.parametrize("surface", ["rest+sse", "rest+poll", "grpc+poll"])
async def test_a_repeat_of_a_cursor_gives_the_same_again(people: People, surface: str):
    alice, bob = await people.two(surface)
    await bob.stop()
    cursor = bob.place.cursor
    await alice.send(bob.user_id, "one")
    await alice.send(bob.user_id, "two")
    await alice.until_messages(direct(alice, bob), ["one", "two"])
    first, second = [await _events_until(bob, cursor, count=2) for _ in range(2)]
    assert first == second
    assert [event.behind.last_seq or event.conversation_event.seq for event in first][-1] == 2


async def _events_until(device: Device, cursor: str, count: int) -> list[object]:
    """What comes after a cursor, up to the n-th event of a direct conversation."""
    found = []
    async with (
        asyncio.timeout(20),
        contextlib.aclosing(device.surface.listen(device.token, Place({}, cursor))) as batches,
    ):
        async for batch in batches:
            assert not batch.reset
            found += batch.events
            seqs = [
                event.behind.last_seq or event.conversation_event.seq
                for event in found
                if (event.behind.conversation_id or event.conversation_event.conversation_id).startswith("d.")
            ]
            if seqs and seqs[-1] >= count:
                return found
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("surface", ["rest+sse", "rest+poll", "grpc+poll"])
async def test_a_cursor_is_of_use_to_nobody_else(people: People, surface: str):
    alice, bob = await people.two(surface)
    await alice.send(bob.user_id, "between us")
    await bob.until_messages(direct(alice, bob), ["between us"])
    await bob.stop()
    eve = await people.sign_in(await people.register(), surface)
    await eve.listen(Place({}, bob.place.cursor))
    assert eve.resets == 1
    assert eve.books.keys() <= {eve.inbox}
    await bob.resume()
    assert bob.resets == 0


async def test_a_device_that_is_signed_out_ends_at_once(people: People, surface: str):
    name = await people.register()
    lost, kept, friend = [await people.device(surface, who) for who in (name, name, await people.register())]
    listed = await kept.call(users.ListDevicesRequest())
    assert {device.device_id: device.current for device in listed.devices} == {
        lost.device_id: False, kept.device_id: True
    }  # fmt: skip
    await kept.call(users.RevokeDeviceRequest(device_id=lost.device_id))
    assert await lost.until_ended() == Refused("UNAUTHENTICATED", "DEVICE_REVOKED")
    with pytest.raises(Refused) as refused:
        await lost.listen()
    assert refused.value == Refused("UNAUTHENTICATED", "DEVICE_REVOKED")
    with pytest.raises(Refused) as refused:
        await lost.call(users.RefreshTokenRequest(refresh_token=lost.refresh_token))
    assert refused.value == Refused("UNAUTHENTICATED", "DEVICE_REVOKED")
    signed_out = await kept.until_event(kept.inbox, "device_signed_out")
    assert signed_out.device_signed_out.device_id == lost.device_id
    await friend.send(kept.user_id, "are you still there?")
    await kept.until_messages(direct(kept, friend), ["are you still there?"])
