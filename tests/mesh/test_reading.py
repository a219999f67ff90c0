"""What people read, and that others see that they did, on every surface alike."""

import pytest

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from tests.mesh.people import People, direct
from tests.mesh.refusal import Refused

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_history_is_paged_both_ways(people: People, surface: str):
    alice, bob = await people.two(surface)
    talk = direct(alice, bob)
    contents = [str(number) for number in range(7)]
    for content in contents:
        await alice.send(bob.user_id, content)
    page = await bob.history(talk, limit=3)
    older = await bob.history(talk, limit=3, last_message_id=page[-1].message_id)
    oldest = await bob.history(talk, limit=3, last_message_id=older[-1].message_id)
    assert [message.content for message in page + older + oldest] == contents[::-1]
    newer = await bob.history(talk, limit=3, after_message_id=oldest[-1].message_id)
    assert [message.content for message in newer] == ["3", "2", "1"]
    assert [message.seq for message in page] == [7, 6, 5]
    assert {message.sender_id for message in page} == {alice.user_id}


async def test_events_after_a_seq_are_what_was_pushed(people: People, surface: str):
    alice, bob = await people.two(surface)
    sent = await alice.send(bob.user_id, "one")
    await alice.send(bob.user_id, "two")
    await bob.react(sent, "👍")
    await bob.until_event(sent.conversation_id, "reaction")
    for after in (0, 1, 3):
        request = history.ListEventsRequest(conversation_id=sent.conversation_id, after_seq=after)
        answer = await bob.call(request)
        assert list(answer.events) == bob.books[sent.conversation_id][after:]
        assert answer.last_seq == 3


async def test_reading_moves_the_unread_count_and_is_signalled(people: People, surface: str):
    name = await people.register()
    alice, bob, bob_too = (
        await people.device(surface),
        await people.device(surface, name),
        await people.device(surface, name),
    )
    talk = direct(alice, bob)
    for content in ("one", "two", "three"):
        await alice.send(bob.user_id, content)
    head = (await bob.heads())[talk]
    assert (head.last_seq, head.unread_count, head.read_seq) == (3, 3, 0)
    await alice.until_messages(talk, ["one", "two", "three"])
    await bob_too.until_messages(talk, ["one", "two", "three"])
    await bob.call(messaging.MarkReadRequest(conversation_id=talk, seq=2))
    for device in (alice, bob_too):
        await device.until_told("read_mark", conversation_id=talk, user_id=bob.user_id, seq=2)
    head = (await bob_too.heads())[talk]
    assert (head.unread_count, head.read_seq) == (1, 2)


async def test_a_read_mark_only_grows_and_never_beyond_the_newest(people: People, surface: str):
    alice, bob = await people.two(surface)
    talk = direct(alice, bob)
    await alice.send(bob.user_id, "one")
    await alice.send(bob.user_id, "two")
    for seq, expected in ((1, 1), (2**64 - 1, 2), (1, 2)):
        await bob.call(messaging.MarkReadRequest(conversation_id=talk, seq=seq))
        assert (await bob.heads())[talk].read_seq == expected


async def test_typing_is_seen_by_the_others(people: People, surface: str):
    alice, bob = await people.two(surface)
    talk = direct(alice, bob)
    await alice.send(bob.user_id, "wait")
    await bob.until_messages(talk, ["wait"])
    await alice.until_messages(talk, ["wait"])
    await bob.call(messaging.SendTypingRequest(conversation_id=talk))
    await alice.until_told("typing", conversation_id=talk, user_id=bob.user_id)


async def test_conversations_come_most_recent_first_in_pages(people: People, surface: str):
    alice = await people.device(surface)
    others = [await people.sign_in(await people.register(), surface) for _ in range(5)]
    for other in others:
        await alice.send(other.user_id, "hello")
    found, token = [], ""
    while True:
        page = await alice.call(history.ListConversationsRequest(page_size=2, page_token=token))
        found += [head.conversation_id for head in page.conversations]
        token = page.next_page_token
        if not token:
            break
    assert found == [direct(alice, other) for other in others[::-1]]


async def test_a_conversation_of_others_is_not_there(people: People, surface: str):
    alice, bob = await people.two(surface)
    eve = await people.device(surface)
    sent = await alice.send(bob.user_id, "between us")
    talk = sent.conversation_id
    missing = "d.u1.u2"
    for name in (talk, missing):
        for request in (
            history.ListMessagesRequest(conversation_id=name),
            history.ListEventsRequest(conversation_id=name),
            messaging.MarkReadRequest(conversation_id=name, seq=1),
            messaging.SendTypingRequest(conversation_id=name),
            messaging.ReactRequest(conversation_id=name, message_id=sent.message_id, emoji="👀", client_message_id="r"),
        ):
            with pytest.raises(Refused) as refused:
                await eve.call(request)
            assert refused.value == Refused("NOT_FOUND", "NOT_FOUND", ("conversation_id",))
        with pytest.raises(Refused) as refused:
            await eve.send(name, "let me in")
        assert refused.value == Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("to",))
    assert eve.books.keys() <= {eve.inbox}
