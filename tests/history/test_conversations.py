"""ListConversations: the caller's conversations, most recent first, with what is unread."""

import base64

import pytest

from svc.kernel.errors import InvalidField
from svc.kernel.ids import inbox_of
from svc.kernel.record import Kind
from tests.history.archive import ALICE, BOB, DIRECT, GROUP, START_US


def ids(answer):
    return [head.conversation_id for head in answer.conversations]


async def test_a_conversation_shows_its_head_and_what_is_unread(archive, surface):
    first = archive.message("one")
    archive.message("two")
    archive.react(first, "👍")
    archive.message("three")
    archive.react(first, "🎉")
    archive.read_up_to(ALICE, DIRECT, 3)
    (head,) = (await surface.conversations()).conversations
    assert (head.conversation_id, head.last_seq, head.read_seq, head.unread_count) == (DIRECT, 5, 3, 1)
    assert head.timestamp.ToMicroseconds() == START_US + 5 * 1_000_001


@pytest.mark.parametrize(("read_seq", "unread"), [(0, 3), (1, 2), (2, 2), (3, 1), (4, 0), (5, 0), (99, 0)])
async def test_unread_counts_the_messages_above_the_read_mark(archive, surface, read_seq, unread):
    first = archive.message("one")
    archive.react(first, "👍")
    archive.message("two")
    archive.message("three")
    archive.react(first, "🎉")
    if read_seq:
        archive.read_up_to(ALICE, DIRECT, read_seq)
    archive.read_up_to(BOB, DIRECT, 5)
    (head,) = (await surface.conversations()).conversations
    assert (head.read_seq, head.unread_count) == (read_seq, unread)


async def test_the_most_recent_comes_first_and_a_change_counts_as_recent(archive, surface):
    archive.belongs(ALICE, GROUP)
    archive.message("one", GROUP)
    second = archive.message("two", DIRECT)
    assert ids(await surface.conversations()) == [DIRECT, GROUP]
    archive.event(Kind.MEMBERSHIP, b"", GROUP)
    assert ids(await surface.conversations()) == [GROUP, DIRECT]
    archive.react(second, "👍")
    assert ids(await surface.conversations()) == [DIRECT, GROUP]


async def test_only_what_the_caller_is_part_of_now_and_never_the_inbox(archive, surface):
    archive.message("hello")
    for conversation_id, member in (("g1", False), ("g2", True)):
        archive.belongs(BOB, conversation_id, member)
        archive.message("hello", conversation_id)
    archive.event(Kind.OPENED, b"", inbox_of(BOB), "system")
    assert ids(await surface.conversations(BOB)) == ["g2", DIRECT]
    assert ids(await surface.conversations("u99")) == []


async def test_a_conversation_without_events_comes_last_and_has_no_time(archive, surface):
    archive.belongs(ALICE, GROUP)
    archive.message("hello")
    answer = await surface.conversations()
    assert ids(answer) == [DIRECT, GROUP]
    empty = answer.conversations[1]
    assert (empty.last_seq, empty.unread_count, empty.HasField("timestamp")) == (0, 0, False)


async def test_fifty_come_when_no_page_size_is_given(archive, surface):
    for number in range(1, 53):
        archive.belongs(BOB, f"g{number}")
        archive.message("hello", f"g{number}")
    first = await surface.conversations(BOB)
    assert ids(first) == [f"g{number}" for number in range(52, 2, -1)]
    last = await surface.conversations(BOB, page_token=first.next_page_token)
    assert (ids(last), last.next_page_token) == (["g2", "g1", DIRECT], "")


async def test_a_full_last_page_has_no_token(archive, surface):
    archive.message("hello")
    answer = await surface.conversations(page_size=1)
    assert (ids(answer), answer.next_page_token) == ([DIRECT], "")


async def test_pages_stay_right_while_conversations_move(archive, surface):
    for number in range(1, 7):
        archive.belongs(BOB, f"g{number}")
        archive.message("hello", f"g{number}")
    first = await surface.conversations(BOB, page_size=2)
    assert ids(first) == ["g6", "g5"]
    archive.message("g5 moves up", "g5")
    second = await surface.conversations(BOB, page_size=2, page_token=first.next_page_token)
    archive.belongs(BOB, "g3", member=False)
    third = await surface.conversations(BOB, page_size=2, page_token=second.next_page_token)
    assert (ids(second), ids(third)) == (["g4", "g3"], ["g2", "g1"])


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "not a token",
        "ä",
        base64.urlsafe_b64encode(b"1 nowhere").decode(),
        base64.urlsafe_b64encode(b"-1 g1").decode(),
        base64.urlsafe_b64encode(b"9223372036854775808 g1").decode(),
        base64.urlsafe_b64encode(b"\xff g1").decode(),
        "A" * 257,
    ],
)
async def test_a_page_token_that_is_none_is_named(archive, surface, token):
    with pytest.raises(InvalidField) as raised:
        await surface.conversations(page_token=token)
    assert raised.value.field == "page_token"


async def test_a_page_size_that_is_too_large_is_named(surface):
    with pytest.raises(InvalidField) as raised:
        await surface.conversations(page_size=201)
    assert raised.value.field == "page_size"
