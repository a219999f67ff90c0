"""What every message store promises: to the owner who writes, and to history and messaging who read what was written.

A new back end joins by a line in `tests.contracts.stores`.
"""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from stonechat.messaging.v1.conversation_event_pb2 import Message
from svc.backends.messages_schema import SCHEMA
from svc.backends.sqlite import open_database
from svc.delivery.adapters.sqlite import SqliteMessageStore
from svc.delivery.model import BUCKET_EVENTS, NO_EVENTS, Event, Key, Position, Slice, Target, key_of
from svc.delivery.rounds import waves
from svc.history.model import StoredEvent
from svc.kernel.record import Kind
from svc.messaging.model import Head, ReadMark, TargetState
from tests.contracts.stored import ALICE, BOB, CAROL, DIRECT, GROUP, START_US, Story
from tests.contracts.stores import STORES, New, Open, Stores

FIRST = Position(0, 0)


@pytest.fixture(params=STORES)
async def open_stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    new: New = request.param
    async with new(tmp_path) as opened:
        yield opened


@pytest.fixture
async def stores(open_stores: Open) -> AsyncIterator[Stores]:
    async with open_stores() as opened:
        yield opened


@pytest.fixture
def story() -> Story:
    return Story()


def content(stored: StoredEvent) -> str:
    return Message.FromString(stored.body).content


# Taking over (T1)


async def test_a_conversation_without_events_loads_empty(stores: Stores):
    """It is named in the answer all the same."""
    assert await stores.store.load({DIRECT: FIRST}) == {DIRECT: Slice(NO_EVENTS, ())}


async def test_the_head_is_the_newest_event_of_either_kind(stores: Stores, story: Story):
    """Messages and changes count in one row of numbers."""
    first, second = story.message("one"), story.message("two")
    reaction = story.reaction(first)
    await stores.store.write([first, second, reaction])
    loaded = await stores.store.load({DIRECT: Position(1, 3)})
    assert loaded[DIRECT].head == reaction.head()
    assert (loaded[DIRECT].head.seq, loaded[DIRECT].head.ordinal) == (3, 2)


async def test_a_slice_holds_every_row_at_or_above_the_start(stores: Stores, story: Story):
    """Whatever their kind, so that no record is judged twice; below the start it ends with the first row of a kind."""
    messages = [story.message(str(number)) for number in range(4)]
    changes = [story.reaction(messages[0]), story.edit(messages[1], "new"), story.unprocessable()]
    events = [*messages, *changes, story.message("last")]
    await stores.store.write(events)
    for offset in range(len(events) + 1):
        start = Position(1, offset)
        slice_ = (await stores.store.load({DIRECT: start}))[DIRECT]
        rows = {row.position: row for row in slice_.rows}
        wanted = [event for event in events if event.position >= start]
        assert [rows[event.position] for event in wanted] == [event.place() for event in wanted]
        assert sum(row.position < start for row in slice_.rows) <= 2


async def test_positions_compare_by_era_first(stores: Stores, story: Story):
    """After an incident of the log a small offset of the new era is above a large one of the old."""
    old = story.message("old")
    await stores.store.write([old])
    assert (await stores.store.load({DIRECT: Position(2, 0)}))[DIRECT].rows == ()
    assert (await stores.store.load({DIRECT: Position(0, 99)}))[DIRECT].rows == (old.place(),)


async def test_a_slice_reaches_over_the_edges_of_buckets(stores: Stores, story: Story):
    """However far below the start lies; changes may be absent from a whole bucket (W5)."""
    events = [story.message(str(number)) for number in range(2 * BUCKET_EVENTS + 4)]
    reaction = story.reaction(events[0])
    events.append(reaction)
    for wave in waves(events):
        await stores.store.write(wave)
    for offset in (
        0,
        5,
        BUCKET_EVENTS - 2,
        BUCKET_EVENTS - 1,
        BUCKET_EVENTS,
        2 * BUCKET_EVENTS,
        len(events) - 1,
        len(events),
    ):
        start = Position(1, offset)
        slice_ = (await stores.store.load({DIRECT: start}))[DIRECT]
        assert slice_.head == reaction.head()
        rows = {row.position: row for row in slice_.rows if row.position >= start}
        assert rows == {event.position: event.place() for event in events if event.position >= start}


# What decides (L2, L6)


async def test_a_key_row_stands_beside_every_event(stores: Stores, story: Story):
    """It has the first record's place and what it asked."""
    message = story.message("hello", key="k1")
    reaction = story.reaction(message)
    await stores.store.write([message, reaction])
    absent = Key(DIRECT, ALICE, "k2")
    foreign = Key(DIRECT, BOB, "k1")
    found = await stores.store.keys([key_of(message.record), absent, foreign, key_of(reaction.record)])
    assert found == {key_of(message.record): message.key_row(), key_of(reaction.record): reaction.key_row()}


async def test_an_unprocessable_event_has_no_key_row(stores: Stores, story: Story):
    """So that its replay is a new event."""
    event = story.unprocessable(key="k")
    await stores.store.write([event])
    assert await stores.store.keys([key_of(event.record)]) == {}
    assert (await stores.store.load({DIRECT: FIRST}))[DIRECT].head == event.head()


async def test_targets_are_what_never_changes_about_an_event(stores: Stores, story: Story):
    """Sender, kind and record; also after an edit and a withdrawal."""
    message = story.message("hello")
    edit, withdrawal = story.edit(message, "changed"), story.withdrawal(message)
    await stores.store.write([message, edit, withdrawal])
    nothing = [(DIRECT, 9), (DIRECT, 0), (DIRECT, 2**63 - 1), (GROUP, 1)]
    found = await stores.store.targets([(DIRECT, 1), (DIRECT, 2), *nothing])
    assert found == {
        (DIRECT, 1): Target(1, message.record.record_id, ALICE, Kind.MESSAGE),
        (DIRECT, 2): Target(2, edit.record.record_id, ALICE, Kind.EDIT),
    }


# Writing (W1, W3)


async def test_an_edit_changes_the_message_it_names(stores: Stores, story: Story):
    """The newest of several counts; the edits stay events of their own."""
    message = story.message("draft")
    edits = [story.edit(message, "better"), story.edit(message, "best")]
    await stores.store.write([message, *edits])
    (stored,) = await stores.messages()
    assert (content(stored), stored.edited, stored.withdrawn) == ("best", True, False)
    run = await stores.history.run_after(DIRECT, 0, 10, 1 << 20)
    assert [(event.seq, event.kind) for event in run.events] == [(1, 16), (2, 17), (3, 17)]


async def test_a_withdrawal_empties_the_message_for_good(stores: Stores, story: Story):
    """A later edit does not bring it back, and who reads is told not to show what an edit said."""
    message = story.message("secret")
    edit, withdrawal, late = story.edit(message, "secret two"), story.withdrawal(message), story.edit(message, "three")
    await stores.store.write([message, edit, withdrawal, late])
    (stored,) = await stores.messages()
    assert (stored.body, stored.withdrawn, stored.edited) == (b"", True, False)
    assert await stores.store.withdrawn([(DIRECT, 1), (DIRECT, 2), (DIRECT, 9), (DIRECT, 2**63 - 1)]) == {(DIRECT, 1)}
    run = await stores.history.run_after(DIRECT, 0, 10, 1 << 20)
    assert [event.must_not_show_text for event in run.events] == [False, True, False, True]


async def test_a_change_in_a_later_write_reaches_a_message_of_an_earlier_one(stores: Stores, story: Story):
    """Each in a round of its own."""
    message = story.message("one")
    for event in (message, story.edit(message, "two"), story.withdrawal(message)):
        await stores.store.write([event])
    (stored,) = await stores.messages()
    assert stored.withdrawn


async def test_changes_reach_messages_in_older_buckets(stores: Stores, story: Story):
    """On both sides of an edge, in any order of writes; a replay of everything older changes nothing (W6)."""
    events = [story.message(str(number)) for number in range(BUCKET_EVENTS + 5)]
    targets = events[4089:4099]
    edits = [story.edit(target, f"edited {target.seq}") for target in targets]
    withdrawals = [story.withdrawal(target) for target in targets[::3]]
    late = [story.edit(target, "late") for target in targets[::3]]
    for wave in waves([*events, *edits, *withdrawals, *late]):
        await stores.store.write(wave)

    async def state() -> list[tuple[int, str, bool]]:
        found = await stores.history.messages_after(DIRECT, 4089, 10)
        return [(stored.seq, "" if stored.withdrawn else content(stored), stored.withdrawn) for stored in found]

    gone = {target.seq for target in targets[::3]}
    wanted = [
        (target.seq, "", True) if target.seq in gone else (target.seq, f"edited {target.seq}", False)
        for target in targets
    ]
    assert await state() == wanted
    assert await stores.store.withdrawn([(DIRECT, target.seq) for target in targets]) == {(DIRECT, seq) for seq in gone}
    for again in (edits, late, *waves(targets), withdrawals):
        await stores.store.write(again)
        assert await state() == wanted


async def test_writing_again_changes_nothing(stores: Stores, story: Story):
    """Any part, in any round, by whoever was paused in the middle: the rows stay as the first writer left them."""
    message = story.message("one", key="k")
    events = [message, story.edit(message, "two"), story.message("other"), story.withdrawal(message)]
    events += [story.edit(message, "late"), story.unprocessable(), story.reaction(message)]
    await stores.store.write(events)
    before = await stores.rows()
    keys = [key_of(event.record) for event in events]
    known = await stores.store.keys(keys)
    for start in range(len(events)):
        for end in range(start + 1, len(events) + 1):
            await stores.store.write(events[start:end])
            assert await stores.rows() == before
            assert await stores.store.keys(keys) == known


@pytest.mark.parametrize("new", STORES)
async def test_the_rows_do_not_depend_on_who_wrote_when(new: New, tmp_path_factory: pytest.TempPathFactory):
    """A former owner that writes its rounds again after those of the new one leaves what one owner alone leaves."""
    rng = random.Random(11)
    folders = [tmp_path_factory.mktemp(name) for name in ("alone", "two")]
    async with (
        new(folders[0]) as open_alone,
        new(folders[1]) as open_two,
        open_alone() as alone,
        open_two() as two,
    ):
        for number in range(1, 41):
            name = f"g{number}"
            events = some_events(rng, name)
            await alone.store.write(events)
            for event in events:
                await two.store.write([event])
            for start in reversed(range(0, len(events), 2)):
                await two.store.write(events[start : start + 3])
            assert await two.rows(name) == await alone.rows(name)


def some_events(rng: random.Random, conversation_id: str) -> list[Event]:
    """Three messages, and changes of them as they come."""
    story = Story()
    messages = [story.message(str(number), conversation_id) for number in range(3)]
    changes = [
        lambda target: story.edit(target, f"edited at {story.offset}"),
        story.withdrawal,
        story.reaction,
    ]
    return messages + [rng.choice(changes)(rng.choice(messages)) for _ in range(rng.randrange(9))]


# Lists


async def test_the_first_event_of_a_direct_conversation_lists_it_for_both(stores: Stores, story: Story):
    """And for nobody else."""
    await stores.store.write([story.message("hello"), story.message("again")])
    for user in (ALICE, BOB):
        (membership,) = await stores.conversations.of_user(user)
        assert (membership.conversation_id, membership.version, membership.member) == (DIRECT, 0, True)
        assert await stores.conversations.is_member(user, DIRECT)
        assert await stores.history.is_member(user, DIRECT)
    assert await stores.conversations.of_user(CAROL) == []
    assert not await stores.conversations.is_member(CAROL, DIRECT)


async def test_membership_follows_the_newest_version(stores: Stores, story: Story):
    """Joined, left, joined again; a round that is written again brings nothing back."""
    joined = story.membership(ALICE, BOB)
    left = story.membership(left=(BOB,))
    rejoined = story.membership(BOB, CAROL)
    for event, members in ((joined, {ALICE, BOB}), (left, {ALICE}), (rejoined, {ALICE, BOB, CAROL})):
        await stores.store.write([event])
        assert await members_of(stores) == members
    await stores.store.write([left])
    await stores.store.write([joined, left])
    assert await members_of(stores) == {ALICE, BOB, CAROL}
    (bob,) = await stores.conversations.of_user(BOB)
    assert (bob.version, bob.member) == (3, True)


async def test_who_left_still_has_the_conversation_in_the_list_as_left(stores: Stores, story: Story):
    """With the version that made it so: a session that opens must not believe older news."""
    await stores.store.write([story.membership(ALICE, BOB), story.membership(left=(BOB,))])
    (bob,) = await stores.conversations.of_user(BOB)
    assert (bob.conversation_id, bob.version, bob.member) == (GROUP, 2, False)
    assert list(await stores.history.conversations(BOB, None, 10)) == []


async def members_of(stores: Stores) -> set[str]:
    found = set()
    for user in (ALICE, BOB, CAROL):
        is_member = await stores.conversations.is_member(user, GROUP)
        assert await stores.history.is_member(user, GROUP) == is_member
        if is_member:
            found.add(user)
    return found


async def test_a_user_s_conversations_come_most_recent_first(stores: Stores, story: Story):
    """By the time of their newest event, of either kind."""
    group = story.membership(ALICE, BOB)
    message = story.message("hello")
    other = story.message("hello", conversation_id="d.u11.u13")
    await stores.store.write([group, message, other])
    names = [membership.conversation_id for membership in await stores.conversations.of_user(ALICE)]
    assert names == ["d.u11.u13", DIRECT, GROUP]
    reaction = story.reaction(message)
    await stores.store.write([reaction])
    newest = (await stores.conversations.of_user(ALICE))[0]
    assert (newest.conversation_id, newest.time_us) == (DIRECT, reaction.time_us)


# Heads and read marks


async def test_unread_counts_messages_above_the_mark(stores: Stores, story: Story):
    """Changes, memberships and what was unprocessable are no messages; whichever kind the mark points at."""
    messages = [story.message("one"), story.message("two")]
    events = [*messages, story.reaction(messages[0]), story.message("three"), story.unprocessable()]
    await stores.store.write(events)
    assert await stores.head(BOB) == Head(DIRECT, 5, 3, 0, START_US + 4)
    for seq, unread in ((1, 2), (2, 1), (3, 1), (4, 0), (5, 0)):
        await stores.marks.advance([ReadMark(BOB, DIRECT, seq)])
        assert await stores.head(BOB) == Head(DIRECT, 5, unread, seq, START_US + 4)
        (listed,) = await stores.history.conversations(BOB, None, 10)
        assert (listed.last_seq, listed.read_seq, listed.unread) == (5, seq, unread)
    assert (await stores.head(ALICE)).unread_count == 3


async def test_heads_come_in_the_order_asked_for(stores: Stores, story: Story):
    """With zeros for what has no event."""
    await stores.store.write([story.message("hello"), story.membership(ALICE)])
    heads = await stores.conversations.heads(ALICE, [GROUP, "g999", DIRECT])
    assert [(head.conversation_id, head.last_seq) for head in heads] == [(GROUP, 1), ("g999", 0), (DIRECT, 1)]


async def test_an_inbox_has_nothing_unread(stores: Stores, story: Story):
    """It is for devices, not for people."""
    await stores.store.write([story.message("notice", conversation_id="inbox.u11", sender_id="system")])
    assert await stores.head(ALICE, "inbox.u11") == Head("inbox.u11", 1, 0, 0, START_US)


async def test_marks_only_grow_and_end_at_the_newest_event(stores: Stores, story: Story):
    """Those that moved are returned as they are now."""
    await stores.store.write([story.message("one"), story.message("two"), story.message("three")])
    assert await stores.marks.advance([ReadMark(BOB, DIRECT, 2)]) == [ReadMark(BOB, DIRECT, 2)]
    assert await stores.marks.advance([ReadMark(BOB, DIRECT, 1)]) == []
    assert await stores.marks.advance([ReadMark(BOB, DIRECT, 2)]) == []
    both = await stores.marks.advance([ReadMark(BOB, DIRECT, 2**63 - 1), ReadMark(ALICE, DIRECT, 1)])
    assert both == [ReadMark(BOB, DIRECT, 3), ReadMark(ALICE, DIRECT, 1)]
    assert (await stores.head(BOB)).read_seq == 3
    await stores.store.write([story.message("four")])
    assert (await stores.head(BOB)).unread_count == 1


async def test_what_has_no_event_cannot_be_read(stores: Stores):
    """No mark is set for later events that nobody has seen."""
    assert await stores.marks.advance([ReadMark(BOB, DIRECT, 5)]) == []
    assert await stores.head(BOB) == Head(DIRECT, 0, 0, 0, 0)


async def test_a_target_is_known_as_it_is_now(stores: Stores, story: Story):
    """Whose it is, whether it is a message, and whether it was withdrawn."""
    message, other = story.message("one"), story.message("two", sender_id=BOB)
    await stores.store.write([message, other, story.withdrawal(message)])
    target = stores.conversations.target
    assert await target(DIRECT, 1) == TargetState(ALICE, message.record.record_id, True, True)
    assert await target(DIRECT, 2) == TargetState(BOB, other.record.record_id, True, False)
    found = await target(DIRECT, 3)
    assert found is not None
    assert not found.is_message
    assert await target(DIRECT, 4) is None


# Staying


async def test_what_write_returned_from_is_there_after_reopening(open_stores: Open, story: Story):
    """Rows, keys, lists and marks."""
    message = story.message("hello", key="k")
    async with open_stores() as stores:
        await stores.store.write([message, story.edit(message, "changed"), story.membership(ALICE)])
        await stores.marks.advance([ReadMark(BOB, DIRECT, 1)])
        rows = await stores.rows()
    async with open_stores() as stores:
        assert await stores.rows() == rows
        assert await stores.store.keys([key_of(message.record)]) == {key_of(message.record): message.key_row()}
        assert [m.conversation_id for m in await stores.conversations.of_user(ALICE)] == [GROUP, DIRECT]
        assert (await stores.head(BOB)).read_seq == 1
        await stores.store.ping()


async def test_keys_are_kept_as_long_as_a_repeat_can_come(tmp_path: Path, story: Story):
    """Then they go, in portions; young ones stay. (Embedded only: Cassandra does it by time to live.)"""
    old: Sequence[Event] = [story.message(str(number), conversation_id=f"g{number + 1}") for number in range(2500)]
    young = story.message("young")
    async with open_database(tmp_path / "messages.sqlite", SCHEMA) as database:
        store = SqliteMessageStore(database)
        await store.write([*old, young])
        assert await store.trim_keys(young.time_us) == 2500
        assert await store.keys([key_of(old[0].record), key_of(old[-1].record), key_of(young.record)]) == {
            key_of(young.record): young.key_row()
        }
