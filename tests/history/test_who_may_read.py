"""Only those who are part of a conversation read it; to all others it does not exist."""

import pytest

from svc.kernel.errors import NotFound, Unauthenticated
from svc.kernel.ids import inbox_of
from tests.history.archive import ALICE, BOB, CAROL, DIRECT, GROUP


@pytest.mark.parametrize("method", ["messages", "events"])
@pytest.mark.parametrize(
    "conversation_id",
    [
        DIRECT,  # of others
        GROUP,  # which she has left
        "g404",  # which there is not
        inbox_of(ALICE),
        "d.u12.u11",  # not the canonical spelling
        "d.u011.u12",
        "inbox.u013",
        "nonsense",
    ],
)
async def test_missing_forbidden_and_misspelt_answer_alike(archive, surface, method, conversation_id):
    archive.belongs(CAROL, GROUP, member=False)
    archive.message("hello")
    archive.message("hello", GROUP)
    with pytest.raises(NotFound) as raised:
        await getattr(surface, method)(CAROL, conversation_id)
    assert (raised.value.message, raised.value.field) == ("no such conversation", "conversation_id")


async def test_who_may_not_read_learns_nothing_of_message_ids(archive, surface):
    message_id = archive.message("hello")
    for named in (message_id, "m1.1"):
        with pytest.raises(NotFound):
            await surface.messages(CAROL, last_message_id=named)


async def test_both_sides_of_a_direct_conversation_read_it(archive, surface):
    archive.message("hello")
    assert await surface.messages(ALICE) == await surface.messages(BOB) != []


async def test_who_comes_back_reads_again(archive, surface):
    archive.message("hello", GROUP)
    archive.belongs(CAROL, GROUP, member=False)
    archive.belongs(CAROL, GROUP)
    assert len(await surface.messages(CAROL, GROUP)) == 1


@pytest.mark.parametrize("method", ["messages", "events", "conversations"])
async def test_without_a_token_there_is_no_answer(surface, method):
    with pytest.raises(Unauthenticated):
        await getattr(surface, method)("")
