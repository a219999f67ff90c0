"""How sessions begin, resume and end, on every surface alike."""

import asyncio
import contextlib

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.messaging.v1.event_pb2 import Event, HelloPage
from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance.case import CURSORS, FRAMES, HELLO, case
from stonechat_conformance.device import Device
from stonechat_conformance.expect import must, must_equal, must_refuse
from stonechat_conformance.people import People, direct
from stonechat_conformance.refusal import Broken, Refused
from stonechat_conformance.surfaces.model import Place
from stonechat_conformance.surfaces.native import Connect

GROUPS = 210
BURST = 400


async def _popular(asking: People) -> str:
    """Make a user with more conversations than fit on a page; returns the name."""
    people = await asking.server.lasting(asking.name)
    name = await people.register()
    alice = await people.sign_in(name)
    for number in range(GROUPS):
        await alice.call(groups.CreateGroupRequest(name=str(number)))
    await alice.listen()
    group_id = (await alice.call(groups.CreateGroupRequest(name="last"))).group_id
    await alice.until_event(group_id, "membership")
    await alice.stop()
    return name


async def hello(device: Device, known: dict[str, int]) -> list[HelloPage]:
    """What a session is told first: all pages."""
    # Those that resume by cursor are told so when they come with one that is lost.
    place = Place(known, cursor="lost.1" if device.surface.resumes_by_cursor else "")
    pages: list[HelloPage] = []
    deadline = asyncio.timeout(device.patience.seconds)
    async with deadline, contextlib.aclosing(device.surface.listen(device.token, place)) as batches:
        async for batch in batches:
            must_equal(batch.reset, device.surface.resumes_by_cursor and not pages, "reset is set on the first answer")
            pages += [event.hello_page for event in batch.events if event.HasField("hello_page")]
            if pages and pages[-1].complete:
                return pages
    raise Broken("the last page of the answer to Hello is complete", came=pages)


@case()
async def hundreds_of_conversations_come_in_pages(people: People) -> None:
    """Hello is answered in pages of at most 200 conversations, most recent first, and says which is the last."""
    popular = await people.server.once("popular", lambda: _popular(people))
    device = await people.sign_in(popular)
    pages = await hello(device, {})
    must_equal([page.complete for page in pages], [False, True])
    heads = [head for page in pages for head in page.conversations]
    must_equal(len(pages[0].conversations), 200)
    must_equal(len(heads), GROUPS + 2, "how many conversations are named: the groups, the last one, and the inbox")
    must_equal(len({head.conversation_id for head in heads}), len(heads), "each conversation is named once")
    must(all(head.last_seq >= 1 for head in heads), "each head has the number of its newest event", heads)
    times = [head.timestamp.ToNanoseconds() for head in heads if not head.conversation_id.startswith("inbox.")]
    must_equal(times, sorted(times, reverse=True))
    listed, token = [], ""
    while page := await device.call(history.ListConversationsRequest(page_size=200, page_token=token)):
        listed += page.conversations
        token = page.next_page_token
        if not token:
            break
    must_equal(listed, [head for head in heads if not head.conversation_id.startswith("inbox.")])


@case(without=HELLO)
async def hello_is_answered_with_what_differs(people: People) -> None:
    """The answer to Hello holds only what differs from what is known, and names what the client is not part of."""
    alice, bob = await people.two()
    carol = await people.device()
    await alice.send(bob.user_id, "one")
    await alice.send(carol.user_id, "one")
    await bob.send(carol.user_id, "of others")
    talk, other, foreign = direct(alice, bob), direct(alice, carol), direct(bob, carol)
    await alice.until_messages(other, ["one"])
    await alice.stop()
    inbox = alice.books[alice.inbox][-1].seq
    (page,) = await hello(alice, {alice.inbox: inbox, talk: 1, other: 1})
    must_equal((list(page.conversations), list(page.gone), page.complete), ([], [], True))
    await bob.send(alice.user_id, "two")
    (page,) = await hello(alice, {alice.inbox: inbox, talk: 1, other: 1, foreign: 1})
    must_equal(
        [(head.conversation_id, head.last_seq, head.unread_count) for head in page.conversations], [(talk, 2, 2)]
    )
    must_equal(list(page.gone), [foreign])


@case()
async def who_comes_back_gets_what_was_missed_once_and_in_order(people: People) -> None:
    """After a break nothing is missed and nothing comes twice."""
    alice, bob = await people.two()
    carol = await people.device()
    await alice.send(bob.user_id, "before")
    await bob.until_messages(direct(alice, bob), ["before"])
    await bob.stop()
    await alice.send(bob.user_id, "meanwhile")
    await carol.send(bob.user_id, "a stranger, meanwhile")
    await bob.resume()
    await alice.send(bob.user_id, "after")
    await bob.until_messages(direct(alice, bob), ["before", "meanwhile", "after"])
    await bob.until_messages(direct(bob, carol), ["a stranger, meanwhile"])


@case()
async def who_lost_its_cursor_gets_what_was_missed_too(people: People) -> None:
    """A session whose cursor was lost is told so and gets everything it missed."""
    alice, bob = await people.two()
    await alice.send(bob.user_id, "before")
    await bob.until_messages(direct(alice, bob), ["before"])
    await bob.stop()
    await alice.send(bob.user_id, "meanwhile")
    bob.place.cursor = "of another life.7" if bob.place.cursor else ""
    await bob.resume()
    await bob.until_messages(direct(alice, bob), ["before", "meanwhile"])
    must_equal(bob.resets, 1 if bob.surface.resumes_by_cursor else 0)


@case(without=CURSORS)
async def a_repeat_of_a_cursor_gives_the_same_again(people: People) -> None:
    """A repeat with the same cursor returns the same events again."""
    alice, bob = await people.two()
    await bob.stop()
    cursor = bob.place.cursor
    await alice.send(bob.user_id, "one")
    await alice.send(bob.user_id, "two")
    await alice.until_messages(direct(alice, bob), ["one", "two"])
    first, second = [await _events_until(bob, cursor, count=2) for _ in range(2)]
    must_equal(first, second)
    must_equal([event.behind.last_seq or event.conversation_event.seq for event in first][-1], 2)


async def _events_until(device: Device, cursor: str, count: int) -> list[Event]:
    """What comes after a cursor, up to the n-th event of a direct conversation."""
    found: list[Event] = []
    deadline = asyncio.timeout(device.patience.seconds)
    async with deadline, contextlib.aclosing(device.surface.listen(device.token, Place({}, cursor))) as batches:
        async for batch in batches:
            must(not batch.reset, "the cursor is known")
            found += batch.events
            seqs = [
                event.behind.last_seq or event.conversation_event.seq
                for event in found
                if (event.behind.conversation_id or event.conversation_event.conversation_id).startswith("d.")
            ]
            if seqs and seqs[-1] >= count:
                return found
    raise Broken("a session goes on", came=found)


@case(without=CURSORS)
async def a_cursor_is_of_use_to_nobody_else(people: People) -> None:
    """A foreign cursor answers reset and shows nothing of its owner, who can still resume by it."""
    alice, bob = await people.two()
    await alice.send(bob.user_id, "between us")
    await bob.until_messages(direct(alice, bob), ["between us"])
    await bob.stop()
    eve = await people.sign_in(await people.register())
    await eve.listen(Place({}, bob.place.cursor))
    must_equal(eve.resets, 1)
    must(eve.books.keys() <= {eve.inbox}, "a foreign cursor shows nothing", eve.books)
    await bob.resume()
    must_equal(bob.resets, 0)


@case()
async def a_device_that_is_signed_out_ends_at_once(people: People) -> None:
    """RevokeDevice ends the device's streams at once and voids its tokens; the user's other devices are told and go on."""
    name = await people.register()
    lost, kept, friend = [await people.device(username=who) for who in (name, name, await people.register())]
    listed = await kept.call(users.ListDevicesRequest())
    must_equal(
        {device.device_id: device.current for device in listed.devices}, {lost.device_id: False, kept.device_id: True}
    )
    await kept.call(users.RevokeDeviceRequest(device_id=lost.device_id))
    must_equal(await lost.until_ended(), Refused("UNAUTHENTICATED", "DEVICE_REVOKED"))
    await must_refuse(lost.listen(), Refused("UNAUTHENTICATED", "DEVICE_REVOKED"))
    await must_refuse(
        lost.call(users.RefreshTokenRequest(refresh_token=lost.refresh_token)),
        Refused("UNAUTHENTICATED", "DEVICE_REVOKED"),
    )
    signed_out = await kept.until_event(kept.inbox, "device_signed_out")
    must_equal(signed_out.device_signed_out.device_id, lost.device_id)
    await friend.send(kept.user_id, "are you still there?")
    await kept.until_messages(direct(kept, friend), ["are you still there?"])


@case(without=FRAMES)
async def a_frame_that_may_not_come_ends_the_stream(people: People) -> None:
    """A frame before Hello, and a second Hello, end the stream: FAILED_PRECONDITION (PROTOCOL_VIOLATION)."""
    alice, bob = await people.two()
    violation = Refused("FAILED_PRECONDITION", "PROTOCOL_VIOLATION", ("hello",))
    await alice.surface.write(messaging.ConnectRequest(hello=messaging.Hello()))  # type: ignore[attr-defined]
    must_equal(await alice.until_ended(), violation, "how a second Hello ends it")
    typing = messaging.SendTypingRequest(conversation_id=direct(alice, bob))
    before = Connect(people.network).exchange(messaging.ConnectRequest(typing=typing), bob.token, greet=False)
    await must_refuse(bob.within(before), violation, "how a frame before Hello ends it")


@case(without=FRAMES)
async def a_session_has_a_bounded_number_of_sends_in_flight(people: People) -> None:
    """However much a client sends at once, each frame has its Result: stored with its place, or RESOURCE_EXHAUSTED."""
    alice, bob = await people.two()
    sends = [
        messaging.SendMessageRequest(to=bob.user_id, content="hi", type="text", client_message_id=f"k{number}")
        for number in range(BURST)
    ]
    answers = await asyncio.gather(*(_sent(alice, send) for send in sends))
    stored = [answer for answer in answers if answer]
    must_equal(sorted(stored), list(range(1, len(stored) + 1)), "the places of what was stored")
    await bob.until(lambda: len(bob.messages(direct(alice, bob))) == len(stored), "what was acknowledged, and no more")


async def _sent(device: Device, request: messaging.SendMessageRequest) -> int:
    """The seq that a message got; 0 when it was one too many."""
    try:
        async with asyncio.timeout(device.patience.seconds):
            return int((await device.surface.call(request, device.token)).seq)  # type: ignore[attr-defined]
    except Refused as refused:
        must(refused.code == "RESOURCE_EXHAUSTED", "how one too many must be refused", str(refused))
        return 0
