"""Walking page by page, either way, shows everything once and in order, wherever the pages are cut."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc.history.adapters.sqlite import SqliteMessageStore
from svc.history.history import History
from svc.history.model import Window
from svc.kernel.ids import MessageRef
from tests.history.archive import ALICE, BOB, DIRECT, Archive
from tests.history.rows import sqlite_rows

KINDS = st.lists(st.sampled_from(["message", "reaction", "edit", "withdrawal"]), max_size=30)


def store(archive: Archive, kinds: list[str]) -> list[int]:
    """Store such events; returns the seqs of those that are messages."""
    archive.belongs(ALICE, DIRECT)
    messages = [archive.message("first")]
    for kind in kinds:
        match kind:
            case "message":
                messages.append(archive.message("next"))
            case "reaction":
                archive.react(messages[-1], "👍")
            case "edit":
                archive.edit(messages[len(messages) // 2], "edited")
            case "withdrawal":
                archive.withdraw(messages[0])
    return [int(message.partition(".")[2]) for message in messages]


async def opened(run, arrange):
    """Run against history over a fresh file."""
    with tempfile.TemporaryDirectory() as folder, sqlite_rows(Path(folder)) as rows:
        arranged = arrange(Archive(rows))
        async with rows.opened() as database:
            await run(History(SqliteMessageStore(database)), arranged)


@pytest.mark.parametrize("forward", [False, True])
@settings(max_examples=25)
@given(kinds=KINDS, limit=st.integers(1, 7))
async def test_every_message_once_and_in_order(forward, kinds, limit):
    async def walk(history, seqs):
        page = await history.messages(ALICE, DIRECT, Window(limit=1 if not forward else len(seqs)))
        # The first step: the newest page, or, forward, everything newer than the very first message.
        seen = [page[-1]] if forward else list(page)
        while True:
            ref = MessageRef(seen[-1].record_id, seen[-1].seq)
            window = Window(limit, after=ref) if forward else Window(limit, before=ref)
            page = await history.messages(ALICE, DIRECT, window)
            assert [event.seq for event in page] == sorted((event.seq for event in page), reverse=True)
            seen += page[::-1] if forward else page
            if len(page) < limit:
                break
        assert [event.seq for event in seen] == (seqs if forward else seqs[::-1])

    await opened(walk, lambda archive: store(archive, kinds))


@settings(max_examples=25)
@given(kinds=KINDS, limit=st.integers(1, 7))
async def test_every_event_once_and_in_order(kinds, limit):
    async def walk(history, _):
        seen, last_seq = 0, 1
        while seen < last_seq:
            run = await history.events(ALICE, DIRECT, seen, limit)
            assert [event.seq for event in run.events] == list(range(seen + 1, seen + 1 + len(run.events)))
            assert len(run.events) == min(limit, run.last_seq - seen)
            seen, last_seq = run.events[-1].seq, run.last_seq
        assert seen == len(kinds) + 1

    await opened(walk, lambda archive: store(archive, kinds))


@settings(max_examples=25)
@given(recent=st.permutations(list(range(1, 9))), limit=st.integers(1, 4), empty=st.integers(0, 3))
async def test_every_conversation_once_and_most_recent_first(recent, limit, empty):
    def arrange(archive):
        for number in range(1, 9 + empty):
            archive.belongs(BOB, f"g{number}")
        for number in recent:
            archive.message("hello", f"g{number}")

    async def walk(history, _):
        seen, place = [], None
        while True:
            page, place = await history.conversations(BOB, place, limit)
            seen += [conversation.conversation_id for conversation in page]
            if place is None:
                break
        without = sorted((f"g{number}" for number in range(9, 9 + empty)), reverse=True)
        assert seen == [f"g{number}" for number in reversed(recent)] + without

    await opened(walk, arrange)
