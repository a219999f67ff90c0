"""What only Cassandra's message store has: buckets, sealed cells, keys that end by themselves."""

from collections.abc import AsyncIterator

import pytest

from stonechat.messaging.v1.conversation_event_pb2 import Message
from svc.backends.cassandra import Cassandra, Insert, open_cassandra
from svc.backends.messages_schema import KEY_RETENTION_SECONDS, WITHDRAWN
from svc.backends.sealing import Seal, UnreadableContentError
from svc.delivery.adapters.cassandra import CassandraMessageStore
from svc.delivery.model import BUCKET_EVENTS, NO_EVENTS, Event, Position
from svc.delivery.rounds import waves
from svc.kernel.record import Kind
from tests.backends.cassandra import SEAL, tables
from tests.contracts.stored import DIRECT, GROUP, Story

pytestmark = pytest.mark.real

BUCKET = Insert("INSERT INTO conversation_heads (conversation_id, bucket) VALUES (?, ?) USING TIMESTAMP ?", key=1)
NEWEST = Position(1, 1 << 40)


@pytest.fixture
async def session() -> AsyncIterator[Cassandra]:
    async with tables() as place, open_cassandra(place, SEAL) as opened:
        yield opened


@pytest.fixture
def store(session: Cassandra) -> CassandraMessageStore:
    return CassandraMessageStore(session)


async def cell(session: Cassandra, seq: int, lane: int = 0) -> tuple[bytes, int, int]:
    """Body as it is stored, its version, and its write timestamp."""
    ((body, version, written),) = await session.rows(
        "SELECT body, body_version, writetime(body) FROM events"
        " WHERE conversation_id = ? AND bucket = ? AND lane = ? AND seq = ?",
        (DIRECT, seq // BUCKET_EVENTS, lane, seq),
    )
    return body, version, written


async def test_a_bucket_is_known_before_anything_lies_in_it(session: Cassandra, store: CassandraMessageStore):
    """One that was opened and never written, because its owner died between the two, has no head: that is in the bucket below
    (W5). The next owner opens it again."""
    story = Story()
    *below, above = waves([story.message(str(number)) for number in range(BUCKET_EVENTS)])
    assert [event.seq for event in above] == [BUCKET_EVENTS]
    for wave in below:
        await store.write(wave)
    assert await session.rows("SELECT * FROM conversation_heads") == []
    await session.write([(BUCKET, (DIRECT, 1, BUCKET_EVENTS))])
    assert (await store.load({DIRECT: NEWEST}))[DIRECT].head == below[-1][-1].head()
    await store.write(above)
    assert (await store.load({DIRECT: NEWEST}))[DIRECT].head == above[-1].head()


async def test_an_old_bucket_never_becomes_the_newest_again(session: Cassandra, store: CassandraMessageStore):
    """However late a former owner opens it."""
    await session.write([(BUCKET, (DIRECT, 2, 2 * BUCKET_EVENTS))])
    story = Story()
    story.seqs[DIRECT] = BUCKET_EVENTS - 1
    await store.write([story.message("first of bucket 1, again")])
    assert await session.rows("SELECT bucket FROM conversation_heads WHERE conversation_id = ?", (DIRECT,)) == [(2,)]


async def test_content_is_sealed_for_its_event(session: Cassandra, store: CassandraMessageStore):
    """Of messages and of edits, and what an edit makes of a message; not even its text's length stands there readable."""
    story = Story()
    message = story.message("very secret")
    edit = story.edit(message, "more secret")
    await store.write([message, edit])
    changed, version, written = await cell(session, 1)
    assert (version, written) == (2, 2)
    assert b"secret" not in changed
    assert Message.FromString(SEAL.open(DIRECT, 1, Kind.MESSAGE, changed)).content == "more secret"
    own, version, written = await cell(session, 2, lane=1)
    assert (version, written) == (2, 2)
    assert SEAL.open(DIRECT, 2, Kind.EDIT, own) == edit.record.body
    with pytest.raises(UnreadableContentError):
        Seal({1: bytes(32)}).open(DIRECT, 1, Kind.MESSAGE, changed)


async def test_withdrawn_content_is_empty_not_absent(session: Cassandra, store: CassandraMessageStore):
    """At a version that nothing but another withdrawal can exceed."""
    story = Story()
    message = story.message("secret")
    withdrawal = story.withdrawal(message)
    await store.write([message, withdrawal])
    assert await cell(session, 1) == (b"", WITHDRAWN + 2, WITHDRAWN + 2)


async def test_a_changed_body_without_its_event_is_no_event(session: Cassandra, store: CassandraMessageStore):
    """It may stand alone when the event was moved elsewhere: neither a head, nor a target, nor in the way of either."""
    story = Story()
    story.seqs[DIRECT] = BUCKET_EVENTS - 2
    message = story.message("moved")
    edit = story.edit(message, "changed")
    await store.write([edit])
    assert (await cell(session, message.seq))[1] == edit.seq
    assert (await store.load({DIRECT: Position(0, 0)}))[DIRECT].rows == (edit.place(),)
    assert set(await store.targets([(DIRECT, message.seq), (DIRECT, edit.seq)])) == {(DIRECT, edit.seq)}


async def test_two_writers_of_an_event_write_the_same_cells(session: Cassandra, store: CassandraMessageStore):
    """Whatever the nodes exchange later, there is nothing to choose between."""
    story = Story()
    message = story.message("hello " * 100)
    events = [message, story.edit(message, "bye " * 100)]
    await store.write(events)
    before = [await cell(session, 1), await cell(session, 2, lane=1)]
    await CassandraMessageStore(session).write(events)
    assert [await cell(session, 1), await cell(session, 2, lane=1)] == before


async def test_keys_end_by_themselves(session: Cassandra, store: CassandraMessageStore):
    """After they are no longer needed (L6); events do not."""
    await store.write([Story().message("hello")])
    ((left,),) = await session.rows("SELECT ttl(seq) FROM idempotency_keys")
    assert KEY_RETENTION_SECONDS - 600 < left <= KEY_RETENTION_SECONDS
    assert await session.rows("SELECT ttl(record_id), ttl(body) FROM events") == [(None, None)]


async def test_many_members_are_listed_in_one_write(session: Cassandra, store: CassandraMessageStore):
    """Many times what a batch may hold."""
    users = tuple(f"u{number}" for number in range(1, 3001))
    await store.write([Story().membership(*users)])
    for user in (users[0], users[1500], users[-1]):
        assert await session.rows(
            "SELECT conversation_id, version, member FROM conversations_by_user WHERE user_id = ?", (user,)
        ) == [(GROUP, 1, True)]


async def test_many_conversations_are_loaded_together(store: CassandraMessageStore):
    """As when an owner takes over, or thousands subscribe; each has its own head."""
    story = Story()
    events: list[Event] = [story.message("hello", conversation_id=f"g{number}") for number in range(1, 1501)]
    await store.write(events)
    found = await store.load({event.conversation_id: NEWEST for event in events})
    assert {name: slice_.head for name, slice_ in found.items()} == {
        event.conversation_id: event.head() for event in events
    }


@pytest.mark.parametrize("seqs", [(1, 2, 4), (4,), (1, 2, 4, 5, 7), (2, 3, 4)])
async def test_what_stands_above_a_missing_number_is_not_loaded(store: CassandraMessageStore, seqs: tuple[int, ...]):
    """Whoever looked at the newest row of a run alone has spread that row alone to other nodes; who wrote the run is dead, and
    told nobody. It is written again."""
    story = Story()
    first = story.message("1")
    events = [first, story.message("2"), story.reaction(first), story.message("4"), story.edit(first, "5")]
    events += [story.message("6"), story.message("7")]
    for seq in seqs:
        await store.write([events[seq - 1]])
    whole = [event for event in events[:2] if 1 in seqs]
    for start in range(len(whole) + 1):
        slice_ = (await store.load({DIRECT: Position(1, start)}))[DIRECT]
        assert slice_.head == (whole[-1].head() if whole else NO_EVENTS)
        assert [row.seq for row in slice_.rows] == list(range(start + 1, len(whole) + 1))
    await store.write(events)
    slice_ = (await store.load({DIRECT: Position(1, 1)}))[DIRECT]
    assert (slice_.head, len(slice_.rows)) == (events[-1].head(), 6)
