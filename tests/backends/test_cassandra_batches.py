"""Rows travel together when the same nodes keep them, in batches that Cassandra takes."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from svc.backends.cassandra_batches import BATCH_BYTES, Insert, Mutation, batches, weight_of
from svc.backends.cassandra_ring import Owners

EVENT = Insert("event", key=2)
USER = Insert("user", key=1)


def owners(key: Sequence[object]) -> Owners:
    """Three sets of nodes, by the length of the first part."""
    return frozenset({f"node{len(str(key[0])) % 3}"})


events = st.builds(
    lambda name, bucket, seq, size: (EVENT, (name, bucket, seq, b"x" * size)),
    st.text("ab", min_size=1, max_size=4),
    st.integers(0, 2),
    st.integers(0, 9),
    st.integers(0, 16_000),
)
users = st.builds(lambda name, seq: (USER, (name, seq)), st.text("ab", min_size=1, max_size=4), st.integers(0, 9))


def partition(mutation: Mutation) -> tuple[object, ...]:
    insert, parameters = mutation
    return (insert.text, *parameters[: insert.key])


@given(st.lists(st.one_of(events, users), max_size=40))
def test_every_row_is_sent_once_and_partitions_stay_whole(rows: list[Mutation]):
    """In their order; and a batch over several partitions is of one set of nodes, and of bounded size."""
    weighed = batches(rows, owners)
    made = [batch for batch, _ in weighed]
    for place in {partition(row) for row in rows}:
        holding = [batch for batch in made if any(partition(row) == place for row in batch)]
        assert len(holding) == 1
        assert [row for row in holding[0] if partition(row) == place] == [
            row for row in rows if partition(row) == place
        ]
    assert sum(map(len, made)) == len(rows)
    for batch, weight in weighed:
        assert weight == sum(map(weight_of, batch))
        assert len({owners(row[1]) for row in batch}) == 1
        assert weight <= BATCH_BYTES or len({partition(row) for row in batch}) == 1


def test_small_rows_of_the_same_nodes_share_one_batch():
    """Whatever their tables and conversations."""
    rows: list[Mutation] = [(EVENT, (f"g{number}", 0, number, b"x" * 300)) for number in range(30)]
    rows += [(USER, (f"u{number}", number)) for number in range(30)]
    ((batch, weight),) = batches(rows, lambda key: None)
    assert batch == rows
    assert weight < BATCH_BYTES
    assert batches([], lambda key: None) == []


def test_weights_are_not_below_what_cassandra_counts():
    """It counts values, and 16 bytes for each cell (timestamp, time to live, deletion time): 50 KiB are its bound."""
    row = ("g1", 0, "text", b"x" * 300, 1 << 60)
    assert weight_of((EVENT, row)) >= 2 + 4 + 4 + 300 + 8 + len(row) * 16
