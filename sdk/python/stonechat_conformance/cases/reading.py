"""What people read, and that others see that they did, on every surface alike."""

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat_conformance.case import case
from stonechat_conformance.expect import must, must_equal, must_refuse
from stonechat_conformance.people import People, direct
from stonechat_conformance.refusal import Refused


@case()
async def history_is_paged_both_ways(people: People) -> None:
    """ListMessages pages back from the newest and forward from any message, newest first."""
    alice, bob = await people.two()
    talk = direct(alice, bob)
    contents = [str(number) for number in range(7)]
    for content in contents:
        await alice.send(bob.user_id, content)
    page = await bob.history(talk, limit=3)
    older = await bob.history(talk, limit=3, last_message_id=page[-1].message_id)
    oldest = await bob.history(talk, limit=3, last_message_id=older[-1].message_id)
    must_equal([message.content for message in page + older + oldest], contents[::-1])
    newer = await bob.history(talk, limit=3, after_message_id=oldest[-1].message_id)
    must_equal([message.content for message in newer], ["3", "2", "1"])
    must_equal([message.seq for message in page], [7, 6, 5])
    must_equal({message.sender_id for message in page}, {alice.user_id})


@case()
async def events_after_a_seq_are_what_was_pushed(people: People) -> None:
    """ListEvents returns the events after a seq exactly as they were pushed."""
    alice, bob = await people.two()
    sent = await alice.send(bob.user_id, "one")
    await alice.send(bob.user_id, "two")
    await bob.react(sent, "👍")
    await bob.until_event(sent.conversation_id, "reaction")
    for after in (0, 1, 3):
        request = history.ListEventsRequest(conversation_id=sent.conversation_id, after_seq=after)
        answer = await bob.call(request)
        must_equal(list(answer.events), bob.books[sent.conversation_id][after:])
        must_equal(answer.last_seq, 3)


@case()
async def reading_moves_the_unread_count_and_is_signalled(people: People) -> None:
    """A read mark lowers the unread count and is told to the user's devices and the others."""
    name = await people.register()
    alice, bob, bob_too = (
        await people.device(),
        await people.device(username=name),
        await people.device(username=name),
    )
    talk = direct(alice, bob)
    for content in ("one", "two", "three"):
        await alice.send(bob.user_id, content)
    head = (await bob.heads())[talk]
    must_equal((head.last_seq, head.unread_count, head.read_seq), (3, 3, 0))
    await alice.until_messages(talk, ["one", "two", "three"])
    await bob_too.until_messages(talk, ["one", "two", "three"])
    await bob.call(messaging.MarkReadRequest(conversation_id=talk, seq=2))
    for device in (alice, bob_too):
        await device.until_told("read_mark", conversation_id=talk, user_id=bob.user_id, seq=2)
    head = (await bob_too.heads())[talk]
    must_equal((head.unread_count, head.read_seq), (1, 2))


@case()
async def a_read_mark_only_grows_and_never_beyond_the_newest(people: People) -> None:
    """A read mark only grows; above the newest event it counts as the newest."""
    alice, bob = await people.two()
    talk = direct(alice, bob)
    await alice.send(bob.user_id, "one")
    await alice.send(bob.user_id, "two")
    for seq, expected in ((1, 1), (2**64 - 1, 2), (1, 2)):
        await bob.call(messaging.MarkReadRequest(conversation_id=talk, seq=seq))
        must_equal((await bob.heads())[talk].read_seq, expected)


@case()
async def typing_is_seen_by_the_others(people: People) -> None:
    """Typing is told to the others of the conversation."""
    alice, bob = await people.two()
    talk = direct(alice, bob)
    await alice.send(bob.user_id, "wait")
    await bob.until_messages(talk, ["wait"])
    await alice.until_messages(talk, ["wait"])
    await bob.call(messaging.SendTypingRequest(conversation_id=talk))
    await alice.until_told("typing", conversation_id=talk, user_id=bob.user_id)


@case()
async def conversations_come_most_recent_first_in_pages(people: People) -> None:
    """ListConversations returns conversations most recent first, in pages without holes or doubles."""
    alice = await people.device()
    others = [await people.sign_in(await people.register()) for _ in range(5)]
    for other in others:
        await alice.send(other.user_id, "hello")
    found, token = [], ""
    while True:
        page = await alice.call(history.ListConversationsRequest(page_size=2, page_token=token))
        found += [head.conversation_id for head in page.conversations]
        token = page.next_page_token
        if not token:
            break
    must_equal(found, [direct(alice, other) for other in others[::-1]])


@case()
async def a_conversation_of_others_is_not_there(people: People) -> None:
    """A conversation of others answers NOT_FOUND, as one that does not exist does, and nothing of it is pushed."""
    alice, bob = await people.two()
    eve = await people.device()
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
            await must_refuse(eve.call(request), Refused("NOT_FOUND", "NOT_FOUND", ("conversation_id",)))
        await must_refuse(eve.send(name, "let me in"), Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("to",)))
    must(eve.books.keys() <= {eve.inbox}, "who is not part of it is told nothing of it", eve.books)
