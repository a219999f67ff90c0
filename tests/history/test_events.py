"""ListEvents: runs without holes, as they were pushed, and never what was withdrawn."""

import pytest

from stonechat.groups.v1.membership_pb2 import MembershipChange
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Edit, Message, Reaction, Withdrawal
from svc.history.history import MAX_ANSWER_BYTES
from svc.history.model import StoredEvent
from svc.history.wire import from_event
from svc.kernel.errors import InvalidField
from svc.kernel.ids import MAX_SNOWFLAKE, inbox_of
from svc.kernel.record import Kind
from tests.history.archive import ALICE, START_US


async def test_both_lanes_come_merged_in_order(archive, surface):
    first = archive.message("one")
    archive.react(first, "👍")
    second = archive.message("two")
    archive.edit(second, "2")
    archive.withdraw(first)
    answer = await surface.events()
    assert [(event.seq, event.WhichOneof("body")) for event in answer.events] == [
        (1, "message"),
        (2, "reaction"),
        (3, "message"),
        (4, "edit"),
        (5, "withdrawal"),
    ]
    assert [event.ordinal for event in answer.events] == [1, 1, 2, 2, 2]
    assert answer.last_seq == 5


async def test_an_event_holds_what_was_pushed(archive, surface):
    first = archive.message("hello", key="k-1")
    reaction = archive.react(first, "👍")
    answer = await surface.events()
    expected = ConversationEvent(
        conversation_id="d.u11.u12",
        seq=1,
        sender_id=ALICE,
        message_id=first,
        client_message_id="k-1",
        ordinal=1,
        message=Message(type="text", content="hello"),
    )
    expected.timestamp.FromMicroseconds(START_US + 1_000_001)
    assert answer.events[0] == expected
    assert (answer.events[1].message_id, answer.events[1].client_message_id) == (reaction, "")
    assert answer.events[1].reaction == Reaction(message_id=first, emoji="👍")


async def test_a_run_begins_behind_the_seq_and_ends_at_the_limit(archive, surface):
    for number in range(150):
        archive.message(str(number))
    assert [event.seq for event in (await surface.events(after_seq=3, limit=2)).events] == [4, 5]
    assert [event.seq for event in (await surface.events()).events] == list(range(1, 101))
    assert [event.seq for event in (await surface.events(after_seq=148, limit=500)).events] == [149, 150]


@pytest.mark.parametrize("after_seq", [1, 2, MAX_SNOWFLAKE, 2**64 - 1])
async def test_behind_the_newest_there_is_nothing(archive, surface, after_seq):
    archive.message("hello")
    answer = await surface.events(after_seq=after_seq)
    assert (list(answer.events), answer.last_seq) == ([], 1)


async def test_an_answer_ends_before_it_grows_beyond_a_megabyte(archive, surface):
    for _ in range(100):
        archive.message("x" * 16_384)
    seen = []
    while len(seen) < 100:
        answer = await surface.events(after_seq=len(seen), limit=500)
        assert answer.ByteSize() <= MAX_ANSWER_BYTES
        assert answer.last_seq == 100
        seen += [event.seq for event in answer.events]
    assert seen == list(range(1, 101))


async def test_one_event_comes_however_large_it_is(archive, surface):
    archive.message("x" * (MAX_ANSWER_BYTES + 1))
    archive.message("small")
    answer = await surface.events()
    assert [event.seq for event in answer.events] == [1]


def test_no_event_is_larger_than_the_bound_that_answers_are_measured_by():
    user = f"u{MAX_SNOWFLAKE}"
    largest = StoredEvent(
        conversation_id=f"inbox.{user}" + "x" * 19,
        seq=MAX_SNOWFLAKE,
        kind=Kind.MESSAGE,
        sender_id=user,
        record_id=MAX_SNOWFLAKE,
        client_message_id="k" * 64,
        time_us=MAX_SNOWFLAKE // 1000,
        ordinal=MAX_SNOWFLAKE,
        body=b"x" * 16_400,
        edited=False,
        withdrawn=False,
        target_withdrawn=False,
    )
    tag_and_length = 4
    assert len(from_event(largest)) + tag_and_length <= largest.size_bound


async def test_an_edit_comes_as_it_was_pushed_and_the_message_in_its_newest_form(archive, surface):
    first = archive.message("helo")
    archive.edit(first, "hello")
    message, edit = (await surface.events()).events
    assert message.message == Message(type="text", content="hello")
    assert edit.edit == Edit(message_id=first, content="hello")


@pytest.mark.parametrize("order", ["edit, withdrawal", "withdrawal, edit"])
async def test_no_event_reveals_withdrawn_text(archive, surface, order):
    first = archive.message("secret")
    for step in order.split(", "):
        if step == "edit":
            archive.edit(first, "secret, edited")
        else:
            archive.withdraw(first)
    answer = await surface.events()
    assert b"secret" not in answer.SerializeToString()
    by_kind = {event.WhichOneof("body"): event for event in answer.events}
    assert [event.seq for event in answer.events] == [1, 2, 3]
    assert by_kind["message"].message == Message()
    assert by_kind["edit"].edit == Edit(message_id=first)
    assert by_kind["withdrawal"].withdrawal == Withdrawal(message_id=first)


async def test_the_withdrawal_of_one_message_hides_no_other(archive, surface):
    first, second = archive.message("one"), archive.message("two")
    archive.edit(second, "2")
    archive.withdraw(first)
    assert (await surface.events(after_seq=2, limit=1)).events[0].edit.content == "2"


async def test_an_unprocessable_event_counts_and_shows_nothing(archive, surface):
    archive.event(Kind.UNPROCESSABLE, b"\xff what came in")
    archive.message("after it")
    unprocessable, message = (await surface.events()).events
    assert unprocessable.WhichOneof("body") == "unprocessable"
    assert message.seq == 2


async def test_bodies_pass_through_whatever_their_kind(archive, surface):
    change = MembershipChange(version=3, left=[ALICE], name="Birds")
    archive.event(Kind.MEMBERSHIP, change.SerializeToString())
    archive.event(60, b"of a kind that is newer than this program")
    membership, unknown = (await surface.events()).events
    assert membership.membership == change
    assert (unknown.seq, unknown.WhichOneof("body")) == (2, None)


async def test_the_inbox_is_read_like_a_conversation(archive, surface):
    inbox = inbox_of(ALICE)
    assert (await surface.events(conversation_id=inbox)).last_seq == 0
    archive.event(Kind.OPENED, b"", inbox, "system")
    answer = await surface.events(conversation_id=inbox)
    assert [event.WhichOneof("body") for event in answer.events] == ["opened"]


async def test_a_limit_that_is_too_large_is_named(surface):
    with pytest.raises(InvalidField) as raised:
        await surface.events(limit=501)
    assert raised.value.field == "limit"
