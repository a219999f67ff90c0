"""What people write, on every surface alike."""

import pytest

from tests.mesh.people import People, direct
from tests.mesh.refusal import Refused

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_message_arrives(people: People, surface: str):
    alice, bob = await people.two(surface)
    talk = direct(alice, bob)
    first = await alice.send(bob.user_id, "hello")
    assert (first.status, first.conversation_id, first.seq) == ("sent", talk, 1)
    second = await bob.send(alice.user_id, "hello yourself")
    third = await alice.send(talk, "by the conversation's own name: äöü 🐦")
    assert (second.seq, third.seq) == (2, 3)
    expected = ["hello", "hello yourself", "by the conversation's own name: äöü 🐦"]
    for device in (alice, bob):
        events = await device.until_messages(talk, expected)
        assert [event.seq for event in events] == [1, 2, 3]
        assert [event.sender_id for event in events] == [alice.user_id, bob.user_id, alice.user_id]
        assert [event.message_id for event in events] == [sent.message_id for sent in (first, second, third)]
        assert [event.ordinal for event in events] == [1, 2, 3]


async def test_the_first_message_between_strangers_needs_no_reconnect(people: People, surface: str):
    alice, bob = await people.two(surface)
    talk = direct(alice, bob)
    await alice.send(bob.user_id, "do you know me?")
    await bob.until_messages(talk, ["do you know me?"])
    opened = await bob.until_event(bob.inbox, "opened")
    assert opened.opened.conversation_id == talk
    await alice.send(talk, "now you do")
    await bob.until_messages(talk, ["do you know me?", "now you do"])


async def test_all_devices_of_both_see_the_same_in_the_same_order(people: People, surface: str):
    names = [await people.register(), await people.register()]
    devices = [await people.device(surface, name) for name in names for _ in range(2)]
    alice, alice_too, bob, _ = devices
    talk = direct(alice, bob)
    contents = [f"{number}" for number in range(6)]
    for number, content in enumerate(contents):
        await (alice, bob, alice_too)[number % 3].send(talk if number else bob.user_id, content)
    books = [await device.until_messages(talk, contents) for device in devices]
    assert all(book == books[0] for book in books)


async def test_a_device_knows_its_own_message_by_the_id_it_chose(people: People, surface: str):
    alice, bob = await people.two(surface)
    await alice.send(bob.user_id, "mine", key="my-key.1")
    for device in (alice, bob):
        (event,) = await device.until_messages(direct(alice, bob), ["mine"])
        assert event.client_message_id == "my-key.1"


async def test_a_repeat_gets_the_first_answer(people: People, surface: str):
    alice, bob = await people.two(surface)
    first = await alice.send(bob.user_id, "once", key="k")
    assert await alice.send(bob.user_id, "once", key="k") == first
    assert await alice.send(direct(alice, bob), "once", key="k") == first
    await alice.send(bob.user_id, "last")
    await bob.until_messages(direct(alice, bob), ["once", "last"])


async def test_a_repeat_after_a_break_gets_the_first_answer(people: People, surface: str):
    alice, bob = await people.two(surface)
    first = await alice.send(bob.user_id, "once", key="k")
    await alice.resume()
    assert await alice.send(bob.user_id, "once", key="k") == first
    await bob.until_messages(direct(alice, bob), ["once"])


async def test_other_content_under_the_same_id_is_refused(people: People, surface: str):
    alice, bob = await people.two(surface)
    await alice.send(bob.user_id, "once", key="k")
    with pytest.raises(Refused) as refused:
        await alice.send(bob.user_id, "something else", key="k")
    assert refused.value == Refused("ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT", ("client_message_id",))
    assert [message.content for message in await bob.history(direct(alice, bob))] == ["once"]


async def test_ids_of_one_sender_do_not_meet_those_of_another(people: People, surface: str):
    alice, bob = await people.two(surface)
    await alice.send(bob.user_id, "from alice", key="k")
    await bob.send(alice.user_id, "from bob", key="k")
    await bob.until_messages(direct(alice, bob), ["from alice", "from bob"])


async def test_an_edit_reaches_everybody_and_stays(people: People, surface: str):
    alice, bob = await people.two(surface)
    sent = await alice.send(bob.user_id, "teh")
    edit = await alice.edit(sent, "the", key="e")
    assert (edit.status, edit.seq) == ("sent", 2)
    assert await alice.edit(sent, "the", key="e") == edit
    for device in (alice, bob):
        event = await device.until_event(sent.conversation_id, "edit")
        assert (event.edit.message_id, event.edit.content, event.ordinal) == (sent.message_id, "the", 1)
    (message,) = await bob.history(sent.conversation_id)
    assert (message.content, message.edited, message.withdrawn) == ("the", True, False)


async def test_what_was_withdrawn_is_gone_everywhere(people: People, surface: str):
    alice, bob = await people.two(surface)
    sent = await alice.send(bob.user_id, "a secret")
    await alice.edit(sent, "the same secret")
    await alice.withdraw(sent)
    for device in (alice, bob):
        event = await device.until_event(sent.conversation_id, "withdrawal")
        assert event.withdrawal.message_id == sent.message_id
    (message,) = await bob.history(sent.conversation_id)
    assert (message.content, message.withdrawn) == ("", True)
    bob.books.clear()
    await bob.pull(sent.conversation_id, 3)
    assert "secret" not in str(bob.books)
    with pytest.raises(Refused) as refused:
        await alice.edit(sent, "back again")
    assert refused.value == Refused("FAILED_PRECONDITION", "TARGET_NOT_CHANGEABLE", ("message_id",))


async def test_reactions_come_and_go(people: People, surface: str):
    alice, bob = await people.two(surface)
    sent = await alice.send(bob.user_id, "good news")
    await bob.react(sent, "🎉")
    await bob.react(sent, "🎉", removed=True)
    for device in (alice, bob):
        removal = await device.until_event(sent.conversation_id, "reaction", count=2)
        first = await device.until_event(sent.conversation_id, "reaction")
        assert (first.sender_id, first.reaction.emoji, first.reaction.removed) == (bob.user_id, "🎉", False)
        assert (removal.reaction.message_id, removal.reaction.removed) == (sent.message_id, True)
    (message,) = await alice.history(sent.conversation_id)
    assert (message.content, message.edited) == ("good news", False)


async def test_nobody_changes_the_message_of_another(people: People, surface: str):
    alice, bob = await people.two(surface)
    sent = await alice.send(bob.user_id, "mine")
    for attempt in (bob.edit(sent, "yours"), bob.withdraw(sent)):
        with pytest.raises(Refused) as refused:
            await attempt
        assert refused.value == Refused("NOT_FOUND", "NOT_FOUND", ("message_id",))
    assert [message.content for message in await bob.history(sent.conversation_id)] == ["mine"]
