"""What only Cassandra's store has for readers: buckets, rows that are not stored everywhere yet, sealed content, long lists."""

import logging
from collections.abc import AsyncIterator, Iterable

import pytest

from stonechat.messaging.v1.conversation_event_pb2 import Message
from svc.backends.cassandra import Cassandra, Insert, open_cassandra
from svc.backends.messages_schema import WITHDRAWN
from svc.backends.sealing import Seal
from svc.delivery.adapters.cassandra import CassandraMessageStore as Writer
from svc.delivery.model import BUCKET_EVENTS, Event
from svc.delivery.rounds import waves
from svc.history.adapters.cassandra import CassandraMessageStore
from svc.history.model import Conversation
from svc.kernel.errors import Unavailable
from svc.kernel.record import Kind
from tests.backends.cassandra import SEAL, tables
from tests.contracts.stored import ALICE, BOB, DIRECT, START_US, Story

pytestmark = pytest.mark.real

EDGE = BUCKET_EVENTS
MEGABYTE = 1 << 20
BUCKET = Insert("INSERT INTO conversation_heads (conversation_id, bucket) VALUES (?, ?) USING TIMESTAMP ?", key=1)
BODY = Insert(
    "INSERT INTO events (conversation_id, bucket, lane, seq, body, body_version) VALUES (?, ?, 0, ?, ?, ?) USING TIMESTAMP ?",
    key=2,
)


@pytest.fixture
async def session() -> AsyncIterator[Cassandra]:
    async with tables() as place, open_cassandra(place, SEAL) as opened:
        yield opened


@pytest.fixture
def store(session: Cassandra) -> CassandraMessageStore:
    return CassandraMessageStore(session)


@pytest.fixture
def story() -> Story:
    """One that has told 4,089 messages, and left out all of them."""
    told = Story()
    told.seqs[DIRECT] = told.ordinals[DIRECT] = EDGE - 7
    return told


async def write(session: Cassandra, events: Iterable[Event]) -> None:
    for wave in waves(list(events)):
        await Writer(session).write(wave)


def seqs(events: Iterable[object]) -> list[int]:
    return [event.seq for event in events]


async def test_pages_and_runs_go_over_the_edge_of_a_bucket(
    session: Cassandra, store: CassandraMessageStore, story: Story
):
    """4090 to 4100, wherever they are cut; only messages are messages, and every event is in a run."""
    events = [story.message("first")]
    while story.seqs[DIRECT] < EDGE + 4:
        events.append(story.reaction(events[0]) if story.seqs[DIRECT] % 3 == 0 else story.message("text"))
    await write(session, events)
    messages = [event.seq for event in events if event.kind is Kind.MESSAGE]
    for limit in range(1, 12):
        for start in range(EDGE - 6, EDGE + 5):
            below = [seq for seq in reversed(messages) if seq < start]
            above = [seq for seq in messages if seq > start]
            run = await store.run_after(DIRECT, start, limit, MEGABYTE)
            assert seqs(await store.messages_before(DIRECT, start, limit)) == below[:limit]
            assert seqs(await store.messages_after(DIRECT, start, limit)) == above[:limit]
            assert seqs(run.events) == list(range(start + 1, EDGE + 5))[:limit]
            assert run.last_seq == EDGE + 4
        assert seqs(await store.messages_before(DIRECT, None, limit)) == messages[::-1][:limit]


async def test_a_bucket_that_was_opened_and_never_written_hides_nothing(
    session: Cassandra, store: CassandraMessageStore, story: Story
):
    """Its owner died between the two: the newest events are in the one below (W5)."""
    events = [story.message("text") for _ in range(6)]
    await write(session, events)
    await session.write([(BUCKET, (DIRECT, 1, EDGE))])
    assert seqs(await store.messages_before(DIRECT, None, 2)) == [EDGE - 1, EDGE - 2]
    assert seqs(await store.messages_after(DIRECT, EDGE - 3, 5)) == [EDGE - 2, EDGE - 1]
    assert await store.messages_after(DIRECT, EDGE - 1, 5) == ()
    for start in (EDGE - 2, EDGE - 1):
        assert (await store.run_after(DIRECT, start, 5, MEGABYTE)).last_seq == EDGE - 1
    assert (await store.run_after(DIRECT, EDGE + 999, 5, MEGABYTE)).last_seq == EDGE - 1


async def test_a_bucket_without_messages_is_passed_over(session: Cassandra, store: CassandraMessageStore, story: Story):
    """However much is reacted to an old message, the one before and the one after are found."""
    first, last = story.message("old"), story.message("before the edge")
    reactions = [story.reaction(first) for _ in range(BUCKET_EVENTS + 10)]
    newest = story.message("new")
    await write(session, [first, last, *reactions, newest])
    assert seqs(await store.messages_before(DIRECT, None, 3)) == [newest.seq, last.seq, first.seq]
    assert seqs(await store.messages_before(DIRECT, newest.seq, 1)) == [last.seq]
    assert seqs(await store.messages_after(DIRECT, last.seq, 3)) == [newest.seq]
    assert await store.messages_before(DIRECT, first.seq, 3) == ()
    assert (await store.run_after(DIRECT, last.seq, 500, MEGABYTE)).last_seq == newest.seq


async def test_a_run_ends_where_a_number_is_missing(
    session: Cassandra, store: CassandraMessageStore, caplog: pytest.LogCaptureFixture
):
    """What stands above was not stored everywhere when its owner died: it is shown once all of it is. Whoever asks for just the
    missing one is told to come back, not that there is nothing."""
    story = Story()
    first, second, missing, above = (story.message(text) for text in "abcd")
    await write(session, [first, second])
    await Writer(session).write([above])
    run = await store.run_after(DIRECT, 0, 10, MEGABYTE)
    assert (seqs(run.events), run.last_seq) == ([1, 2], 4)
    with pytest.raises(Unavailable) as raised:
        await store.run_after(DIRECT, 2, 10, MEGABYTE)
    assert raised.value.retry_after is not None
    assert {record.seq for record in caplog.records if record.levelno == logging.WARNING} == {3}
    await Writer(session).write([missing, above])
    assert seqs((await store.run_after(DIRECT, 2, 10, MEGABYTE)).events) == [3, 4]


async def test_a_change_whose_event_is_not_here_is_no_event(
    session: Cassandra, store: CassandraMessageStore, story: Story
):
    """Nor does it hide those that are."""
    events = [story.message("text") for _ in range(3)]
    await write(session, events)
    body = SEAL.seal(DIRECT, EDGE - 2, Kind.MESSAGE, Message(content="changed").SerializeToString())
    await session.write([(BODY, (DIRECT, 0, EDGE - 2, body, EDGE + 9, EDGE + 9))])
    last = events[-1].seq
    assert seqs(await store.messages_before(DIRECT, None, 1)) == [last]
    assert seqs(await store.messages_after(DIRECT, last - 1, 2)) == [last]
    run = await store.run_after(DIRECT, last - 1, 5, MEGABYTE)
    assert (seqs(run.events), run.last_seq) == ([last], last)
    assert await store.record_id(DIRECT, EDGE - 2) is None


async def test_withdrawn_text_is_not_shown_beside_its_withdrawal(
    session: Cassandra, store: CassandraMessageStore, story: Story
):
    """Even where the message, in an older bucket, is not emptied yet; nor what an edit of it says."""
    message = story.message("secret")
    others = [story.message("text") for _ in range(8)]
    edit, withdrawal = story.edit(message, "secret, too"), story.withdrawal(message)
    await write(session, [message, *others, edit, withdrawal])
    run = await store.run_after(DIRECT, message.seq - 1, 50, MEGABYTE)
    assert b"secret" not in b"".join(event.body for event in run.events if not event.must_not_show_text)
    assert [event.must_not_show_text for event in run.events if event.kind == Kind.EDIT] == [True]
    # As if only the withdrawal itself had landed: what it empties has its text, at a version that nothing exceeds.
    text = SEAL.seal(DIRECT, message.seq, Kind.MESSAGE, message.record.body)
    late = WITHDRAWN - 1
    await session.write([(BODY, (DIRECT, 0, message.seq, text, late, 2 * WITHDRAWN))])
    shown, *_, shown_edit, _ = (await store.run_after(DIRECT, message.seq - 1, 50, MEGABYTE)).events
    assert (shown.body, shown.withdrawn, shown_edit.must_not_show_text) == (b"", True, True)


async def test_content_that_cannot_be_opened_spoils_no_page(
    session: Cassandra, store: CassandraMessageStore, caplog: pytest.LogCaptureFixture
):
    """It is shown as empty, and logged with its place and why."""
    story = Story()
    await write(session, [story.message("one"), story.message("two")])
    other = Seal({1: bytes(32)}).seal(DIRECT, 1, Kind.MESSAGE, b"sealed by another key")
    await session.write([(BODY, (DIRECT, 0, 1, other, 1, 99))])
    newest, oldest = await store.messages_before(DIRECT, None, 10)
    assert (Message.FromString(newest.body).content, oldest.body, oldest.withdrawn) == ("two", b"", False)
    (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert (told.conversation, told.seq) == (DIRECT, 1)
    assert "another key" in told.error


async def test_large_events_are_read_a_part_at_a_time(session: Cassandra, store: CassandraMessageStore):
    """A run is no longer than it may be, and the next one goes on."""
    story = Story()
    await write(session, [story.message("x" * 16_000 + str(number)) for number in range(150)])
    seen: list[int] = []
    while len(seen) < 150:
        run = await store.run_after(DIRECT, len(seen), 500, 1_000_000)
        assert sum(event.size_bound for event in run.events) <= 1_000_000
        assert run.last_seq == 150
        seen += seqs(run.events)
    assert seen == list(range(1, 151))


async def test_two_thousand_conversations_are_listed_in_order(session: Cassandra, store: CassandraMessageStore):
    """Page by page, each with its head and what is unread."""
    story = Story()
    opened = [story.membership(ALICE, BOB, conversation_id=f"g{number}") for number in range(1, 2001)]
    said = [story.message("hello", f"g{number}", BOB) for number in range(2000, 0, -1)]
    left = story.membership(left=(ALICE,), conversation_id="g7")
    for start in range(0, 2000, 100):
        await write(session, opened[start : start + 100])
        await write(session, said[start : start + 100])
    await write(session, [left])
    seen: list[Conversation] = []
    while page := await store.conversations(ALICE, seen[-1].place if seen else None, 500):
        seen += page
    assert seen == [
        Conversation(f"g{number}", 2, START_US + 4000 - number, 0, 1) for number in range(1, 2001) if number != 7
    ]
