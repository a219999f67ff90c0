"""ListMessages: pages of messages in their newest form."""

import pytest

from svc.kernel.errors import InvalidField
from tests.history.archive import BOB, GROUP, START_US


def contents(messages):
    return [message.content for message in messages]


async def test_messages_come_newest_first_and_hold_what_was_stored(archive, surface):
    archive.message("hello", key="k-1")
    second = archive.message("hi", sender_id=BOB)
    newest, oldest = await surface.messages()
    assert (newest.message_id, newest.content, newest.sender_id, newest.seq) == (second, "hi", BOB, 2)
    assert newest.timestamp.ToMicroseconds() == START_US + 2 * 1_000_001
    assert (newest.type, oldest.type) == ("text", "text")
    assert (newest.client_message_id, oldest.client_message_id) == ("", "k-1")
    assert (newest.edited, newest.withdrawn) == (False, False)


async def test_changes_are_no_messages(archive, surface):
    first = archive.message("hello")
    archive.react(first, "👍")
    archive.message("again")
    assert contents(await surface.messages()) == ["again", "hello"]


async def test_an_empty_conversation_has_an_empty_page(surface):
    assert await surface.messages() == []


async def test_fifty_messages_come_when_no_limit_is_given(archive, surface):
    for number in range(51):
        archive.message(str(number))
    assert contents(await surface.messages()) == [str(number) for number in range(50, 0, -1)]
    assert len(await surface.messages(limit=200)) == 51


async def test_older_pages_begin_below_the_message_named(archive, surface):
    ids = [archive.message(str(number)) for number in range(5)]
    assert contents(await surface.messages(last_message_id=ids[3], limit=2)) == ["2", "1"]
    assert contents(await surface.messages(last_message_id=ids[1], limit=2)) == ["0"]
    assert contents(await surface.messages(last_message_id=ids[0], limit=2)) == []


async def test_newer_pages_hold_the_oldest_of_the_newer_ones_newest_first(archive, surface):
    ids = [archive.message(str(number)) for number in range(5)]
    assert contents(await surface.messages(after_message_id=ids[0], limit=2)) == ["2", "1"]
    assert contents(await surface.messages(after_message_id=ids[3], limit=2)) == ["4"]
    assert contents(await surface.messages(after_message_id=ids[4], limit=2)) == []


async def test_a_page_may_begin_at_a_change(archive, surface):
    reaction = archive.react(archive.message("hello"), "👍")
    archive.message("again")
    assert contents(await surface.messages(last_message_id=reaction)) == ["hello"]
    assert contents(await surface.messages(after_message_id=reaction)) == ["again"]


async def test_an_edited_message_has_its_newest_text(archive, surface):
    first = archive.message("helo")
    archive.edit(first, "hello")
    archive.edit(first, "hello!")
    (message,) = await surface.messages()
    assert (message.message_id, message.content, message.edited, message.withdrawn) == (first, "hello!", True, False)


async def test_a_withdrawn_message_keeps_its_place_and_nothing_else(archive, surface):
    first = archive.message("secret")
    archive.withdraw(first)
    (message,) = await surface.messages()
    assert (message.message_id, message.content, message.edited, message.withdrawn) == (first, "", False, True)


async def test_an_edit_after_the_withdrawal_changes_nothing(archive, surface):
    first = archive.message("secret")
    archive.withdraw(first)
    archive.edit(first, "secret again")
    (message,) = await surface.messages()
    assert (message.content, message.edited, message.withdrawn) == ("", False, True)


@pytest.mark.parametrize("field", ["last_message_id", "after_message_id"])
@pytest.mark.parametrize(
    "wrong", ["other conversation", "other record", "not there", "not canonical", "beyond numbers"]
)
async def test_a_page_begins_at_no_message_but_one_of_the_conversation(archive, surface, field, wrong):
    first = archive.message("hello")
    record, _, seq = first.partition(".")
    named = {
        "other conversation": archive.message("elsewhere", GROUP),
        "other record": f"{record}1.{seq}",
        "not there": f"{record}.2",
        "not canonical": f"{record}.0{seq}",
        "beyond numbers": "m9999999999999999999.1",
    }[wrong]
    with pytest.raises(InvalidField) as raised:
        await surface.messages(**{field: named})
    assert raised.value.field == field


async def test_a_page_cannot_go_both_ways(archive, surface):
    first = archive.message("hello")
    with pytest.raises(InvalidField) as raised:
        await surface.messages(last_message_id=first, after_message_id=first)
    assert raised.value.field == "after_message_id"


@pytest.mark.parametrize(
    ("field", "value"), [("limit", 201), ("last_message_id", "x"), ("after_message_id", "m1"), ("conversation_id", "")]
)
async def test_a_field_that_breaks_its_rule_is_named(surface, field, value):
    with pytest.raises(InvalidField) as raised:
        await surface.messages(**{field: value})
    assert raised.value.field == field
