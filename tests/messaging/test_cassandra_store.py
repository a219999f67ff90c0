"""What only Cassandra's store has for messaging: buckets, many conversations, marks that several nodes raise."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from svc.backends.cassandra import Cassandra, Insert, open_cassandra
from svc.backends.messages_cql import BUCKET_EVENTS
from svc.delivery.adapters.cassandra import CassandraMessageStore as Writer
from svc.delivery.rounds import waves
from svc.messaging.adapters.cassandra import CassandraConversations, CassandraReadMarks
from svc.messaging.model import Head, Membership, ReadMark, TargetState
from tests.backends.cassandra import SEAL, tables
from tests.contracts.stored import ALICE, BOB, DIRECT, START_US, Story

pytestmark = pytest.mark.real

EDGE = BUCKET_EVENTS
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
def conversations(session: Cassandra) -> CassandraConversations:
    return CassandraConversations(session)


@pytest.fixture
def story() -> Story:
    """One that has told 4,089 messages, and left out all of them."""
    told = Story()
    told.seqs[DIRECT] = told.ordinals[DIRECT] = EDGE - 7
    return told


async def test_heads_and_what_is_unread_over_the_edge_of_a_bucket(
    session: Cassandra, conversations: CassandraConversations, story: Story
):
    """Event by event from 4090 to 4100, with the mark at each of those before; also while the new bucket has no event yet."""
    writer, marks = Writer(session), CassandraReadMarks(session)
    events = [story.message("first")]
    while story.seqs[DIRECT] < EDGE + 4:
        events.append(story.reaction(events[0]) if story.seqs[DIRECT] % 3 == 0 else story.message("text"))
    for at, event in enumerate(events):
        if event.seq == EDGE:
            await session.write([(BUCKET, (DIRECT, 1, EDGE))])
            assert (await conversations.heads(BOB, [DIRECT]))[0].last_seq == EDGE - 1
        await writer.write([event])
        before = events[max(0, at - 1)]
        await marks.advance([ReadMark(BOB, DIRECT, before.seq)])
        unread = event.ordinal - before.ordinal
        assert await conversations.heads(BOB, [DIRECT]) == [Head(DIRECT, event.seq, unread, before.seq, event.time_us)]
        assert await conversations.heads(ALICE, [DIRECT]) == [Head(DIRECT, event.seq, event.ordinal, 0, event.time_us)]


async def test_targets_are_found_in_every_bucket(
    session: Cassandra, conversations: CassandraConversations, story: Story
):
    """What has no bucket, or no event, is none; nor is a change whose message is not here."""
    events = [story.message("text") for _ in range(9)]
    for wave in waves([*events, story.withdrawal(events[0])]):
        await Writer(session).write(wave)
    for event in events:
        state = TargetState(ALICE, event.record.record_id, True, event is events[0])
        assert await conversations.target(DIRECT, event.seq) == state
    await session.write([(BODY, (DIRECT, 0, 5, b"", EDGE, EDGE))])
    for seq in (0, 5, EDGE + 100, 1 << 50, (1 << 63) - 1):
        assert await conversations.target(DIRECT, seq) is None


async def test_two_thousand_conversations_are_known_at_connect(
    session: Cassandra, conversations: CassandraConversations
):
    """Most recent first, also those that are over; then each with its head."""
    story = Story()
    opened = [story.membership(ALICE, conversation_id=f"g{number}") for number in range(1, 2001)]
    random.Random(5).shuffle(opened)
    said = [story.message("hello", event.conversation_id, BOB) for event in opened]
    left = story.membership(left=(ALICE,), conversation_id="g7")
    for start in range(0, 2000, 100):
        await Writer(session).write(opened[start : start + 100])
        await Writer(session).write(said[start : start + 100])
    await Writer(session).write([left])
    wanted = [Membership(event.conversation_id, 1, True, event.time_us) for event in reversed(said)]
    wanted = [Membership("g7", 2, False, left.time_us), *(one for one in wanted if one.conversation_id != "g7")]
    assert await conversations.of_user(ALICE) == wanted
    await CassandraReadMarks(session).advance([ReadMark(ALICE, event.conversation_id, 1) for event in said[::2]])
    names = [event.conversation_id for event in said if event.conversation_id != "g7"]
    heads = await conversations.heads(ALICE, names)
    marked = {event.conversation_id for event in said[::2]}
    times = {event.conversation_id: event.time_us for event in said}
    assert heads == [Head(name, 2, 1, int(name in marked), times[name]) for name in names]


async def test_the_highest_mark_stays_whoever_raises_it_when(session: Cassandra, conversations: CassandraConversations):
    """Many nodes at the same time, in any order; a mark that is told to have moved was not there before."""
    story, rng = Story(), random.Random(3)
    events = [story.message("text") for _ in range(50)]
    await Writer(session).write(events)
    nodes = [CassandraReadMarks(session) for _ in range(4)]
    raised = [seq for seq in range(1, 50) for _ in range(2)]
    rng.shuffle(raised)
    moved = await asyncio.gather(
        *(rng.choice(nodes).advance([ReadMark(BOB, DIRECT, seq), ReadMark(ALICE, DIRECT, 50 - seq)]) for seq in raised)
    )
    for user in (ALICE, BOB):
        (head,) = await conversations.heads(user, [DIRECT])
        assert (head.read_seq, head.unread_count) == (49, 1)
        assert 49 in {mark.seq for marks in moved for mark in marks if mark.user_id == user}
    assert await nodes[0].advance([ReadMark(BOB, DIRECT, 30)]) == []
    twice = [ReadMark(BOB, DIRECT, 99), ReadMark(BOB, DIRECT, 50)]
    assert await nodes[1].advance(twice) == [ReadMark(BOB, DIRECT, 50)]
    assert (await conversations.heads(BOB, [DIRECT]))[0] == Head(DIRECT, 50, 0, 50, START_US + 49)
