"""What people write, on every surface alike."""

from stonechat_conformance.case import case
from stonechat_conformance.expect import must, must_equal, must_refuse
from stonechat_conformance.people import People, direct
from stonechat_conformance.refusal import Refused
from stonechat_conformance.surfaces.table import SURFACES


@case()
async def a_message_arrives(people: People) -> None:
    """A message is answered with its place; both sides are pushed it once, in one order, numbered without holes."""
    alice, bob = await people.two()
    talk = direct(alice, bob)
    first = await alice.send(bob.user_id, "hello")
    must_equal((first.status, first.conversation_id, first.seq), ("sent", talk, 1))
    second = await bob.send(alice.user_id, "hello yourself")
    third = await alice.send(talk, "by the conversation's own name: äöü 🐦")
    must_equal((second.seq, third.seq), (2, 3))
    expected = ["hello", "hello yourself", "by the conversation's own name: äöü 🐦"]
    for device in (alice, bob):
        events = await device.until_messages(talk, expected)
        must_equal([event.seq for event in events], [1, 2, 3])
        must_equal([event.sender_id for event in events], [alice.user_id, bob.user_id, alice.user_id])
        must_equal([event.message_id for event in events], [sent.message_id for sent in (first, second, third)])
        must_equal([event.ordinal for event in events], [1, 2, 3])


@case()
async def the_first_message_between_strangers_needs_no_reconnect(people: People) -> None:
    """A conversation that begins while a session is open is told in the inbox and pushed like any other."""
    alice, bob = await people.two()
    talk = direct(alice, bob)
    await alice.send(bob.user_id, "do you know me?")
    await bob.until_messages(talk, ["do you know me?"])
    opened = await bob.until_event(bob.inbox, "opened")
    must_equal(opened.opened.conversation_id, talk)
    await alice.send(talk, "now you do")
    await bob.until_messages(talk, ["do you know me?", "now you do"])


@case()
async def all_devices_of_both_see_the_same_in_the_same_order(people: People) -> None:
    """All clients see the same events in the same order."""
    names = [await people.register(), await people.register()]
    devices = [await people.device(username=name) for name in names for _ in range(2)]
    alice, alice_too, bob, _ = devices
    talk = direct(alice, bob)
    contents = [f"{number}" for number in range(6)]
    for number, content in enumerate(contents):
        await (alice, bob, alice_too)[number % 3].send(talk if number else bob.user_id, content)
    books = [await device.until_messages(talk, contents) for device in devices]
    must_equal(books, [books[0]] * len(books), "what each device has")


@case()
async def what_is_said_here_is_told_on_every_surface(people: People) -> None:
    """One session, many ways to hold it: every one of them carries the same events."""
    alice, name = await people.device(), await people.register()
    devices = [await people.device(surface, name) for surface in SURFACES]
    talk = direct(alice, devices[0])
    sent = await alice.send(devices[0].user_id, "hello, all of you")
    for device in devices:
        # Who pulled it later would find its newest text.
        await device.until_messages(talk, ["hello, all of you"])
    await alice.edit(sent, "hello, each of you")
    await devices[0].react(sent, "👋")
    await alice.withdraw(await alice.send(talk, "never mind"))
    await alice.until_event(talk, "withdrawal")
    must_equal([event.seq for event in alice.books[talk]], [1, 2, 3, 4, 5], "the events that the sender is told")
    for device, surface in zip(devices, SURFACES, strict=True):
        await device.until_event(talk, "withdrawal")
        must_equal(device.books[talk], alice.books[talk], f"what is told on {surface}")


@case()
async def a_device_knows_its_own_message_by_the_id_it_chose(people: People) -> None:
    """An event carries the client_message_id that its sender chose."""
    alice, bob = await people.two()
    await alice.send(bob.user_id, "mine", key="my-key.1")
    for device in (alice, bob):
        (event,) = await device.until_messages(direct(alice, bob), ["mine"])
        must_equal(event.client_message_id, "my-key.1")


@case()
async def a_repeat_gets_the_first_answer(people: People) -> None:
    """A repeat with the same client_message_id returns the first one's answer and makes no second message."""
    alice, bob = await people.two()
    first = await alice.send(bob.user_id, "once", key="k")
    must_equal(await alice.send(bob.user_id, "once", key="k"), first)
    must_equal(await alice.send(direct(alice, bob), "once", key="k"), first)
    await alice.send(bob.user_id, "last")
    await bob.until_messages(direct(alice, bob), ["once", "last"])


@case()
async def a_repeat_after_a_break_gets_the_first_answer(people: People) -> None:
    """A repeat returns the first one's answer on a new session too."""
    alice, bob = await people.two()
    first = await alice.send(bob.user_id, "once", key="k")
    await alice.resume()
    must_equal(await alice.send(bob.user_id, "once", key="k"), first)
    await bob.until_messages(direct(alice, bob), ["once"])


@case()
async def other_content_under_the_same_id_is_refused(people: People) -> None:
    """Other content under the same client_message_id is ALREADY_EXISTS, and changes nothing."""
    alice, bob = await people.two()
    await alice.send(bob.user_id, "once", key="k")
    await must_refuse(
        alice.send(bob.user_id, "something else", key="k"),
        Refused("ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT", ("client_message_id",)),
    )
    must_equal([message.content for message in await bob.history(direct(alice, bob))], ["once"])


@case()
async def ids_of_one_sender_do_not_meet_those_of_another(people: People) -> None:
    """A client_message_id counts for its sender only."""
    alice, bob = await people.two()
    await alice.send(bob.user_id, "from alice", key="k")
    await bob.send(alice.user_id, "from bob", key="k")
    await bob.until_messages(direct(alice, bob), ["from alice", "from bob"])


@case()
async def an_edit_reaches_everybody_and_stays(people: People) -> None:
    """An edit is an event of its own, idempotent, and what is read later has the new text."""
    alice, bob = await people.two()
    sent = await alice.send(bob.user_id, "teh")
    edit = await alice.edit(sent, "the", key="e")
    must_equal((edit.status, edit.seq), ("sent", 2))
    must_equal(await alice.edit(sent, "the", key="e"), edit)
    for device in (alice, bob):
        event = await device.until_event(sent.conversation_id, "edit")
        must_equal((event.edit.message_id, event.edit.content, event.ordinal), (sent.message_id, "the", 1))
    (message,) = await bob.history(sent.conversation_id)
    must_equal((message.content, message.edited, message.withdrawn), ("the", True, False))


@case()
async def what_was_withdrawn_is_gone_everywhere(people: People) -> None:
    """A message that was taken back is gone for good: from pages, from events, and from edits before; it cannot be edited."""
    alice, bob = await people.two()
    sent = await alice.send(bob.user_id, "a secret")
    await alice.edit(sent, "the same secret")
    await alice.withdraw(sent)
    for device in (alice, bob):
        event = await device.until_event(sent.conversation_id, "withdrawal")
        must_equal(event.withdrawal.message_id, sent.message_id)
    (message,) = await bob.history(sent.conversation_id)
    must_equal((message.content, message.withdrawn), ("", True))
    bob.books.clear()
    await bob.pull(sent.conversation_id, 3)
    must("secret" not in str(bob.books), "events do not have what was withdrawn", bob.books)
    await must_refuse(
        alice.edit(sent, "back again"), Refused("FAILED_PRECONDITION", "TARGET_NOT_CHANGEABLE", ("message_id",))
    )


@case()
async def reactions_come_and_go(people: People) -> None:
    """A reaction is set and removed by events; the message stays as it is."""
    alice, bob = await people.two()
    sent = await alice.send(bob.user_id, "good news")
    await bob.react(sent, "🎉")
    await bob.react(sent, "🎉", removed=True)
    for device in (alice, bob):
        removal = await device.until_event(sent.conversation_id, "reaction", count=2)
        first = await device.until_event(sent.conversation_id, "reaction")
        must_equal((first.sender_id, first.reaction.emoji, first.reaction.removed), (bob.user_id, "🎉", False))
        must_equal((removal.reaction.message_id, removal.reaction.removed), (sent.message_id, True))
    (message,) = await alice.history(sent.conversation_id)
    must_equal((message.content, message.edited), ("good news", False))


@case()
async def nobody_changes_the_message_of_another(people: People) -> None:
    """Edit and withdraw work on the caller's own messages; another's answers as one that is not there."""
    alice, bob = await people.two()
    sent = await alice.send(bob.user_id, "mine")
    missing = Refused("NOT_FOUND", "NOT_FOUND", ("message_id",))
    await must_refuse(bob.edit(sent, "yours"), missing)
    await must_refuse(bob.withdraw(sent), missing)
    must_equal([message.content for message in await bob.history(sent.conversation_id)], ["mine"])
