"""Where a conversation lives must never depend on who asks, or when."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.kernel.shards import SHARDS, Move, ShardMap, shard_of


@pytest.mark.parametrize(
    ("conversation_id", "shard"),
    [("g1", 867), ("d.u1.u2", 3560), ("inbox.u1", 2694), ("g42", 1873), ("d.u123456789.u987654321", 560)],
)
def test_shards_are_fixed_for_ever(conversation_id: str, shard: int):
    """Changing one of these values moves conversations out of their order: never do."""
    assert shard_of(conversation_id) == shard


@given(st.text(max_size=64))
def test_every_conversation_has_a_shard(conversation_id: str):
    """One of 4,096."""
    assert 0 <= shard_of(conversation_id) < SHARDS


def test_shards_are_spread_evenly():
    """Over 4,096 shards, and over the five partitions one starts with."""
    names = [f"d.u{number}.u{number + 7}" for number in range(40_960)]
    shards = Counter(shard_of(name) for name in names)
    assert len(shards) > 4000
    assert max(shards.values()) < 40
    first = ShardMap.initial(5)
    partitions = Counter(first.partition_of(name) for name in names)
    assert set(partitions) == set(range(5))
    assert max(partitions.values()) < 1.1 * min(partitions.values())


def test_all_of_a_shard_is_in_one_partition():
    """The map says of shards where they are, never of single conversations."""
    shards = ShardMap.initial(7)
    home: dict[int, int] = {}
    for number in range(20_000):
        name = f"g{number}"
        assert home.setdefault(shard_of(name), shards.partition_of(name)) == shards.partition_of(name)


def test_a_record_counts_where_its_shard_lived_when_it_was_appended():
    """Before the fence in the old partition, behind the opening in the new one, nowhere else; each move begins an era."""
    name = "g1"
    shard = shard_of(name)
    first = ShardMap.initial(5)
    old, new = first.partition_of(name), 7
    moving = first.grown(8).moving({shard: Move(old, new, 90)})
    assert moving.partition_of(name) == old
    moved = moving.moved({shard: (100, 20)})
    assert (moved.partition_of(name), moved.moves, moved.version) == (new, {}, 4)
    assert [moved.counts(name, old, offset) for offset in (0, 99, 100, 101)] == [True, True, False, False]
    assert [moved.counts(name, new, offset) for offset in (0, 20, 21)] == [False, False, True]
    assert not moved.counts(name, 1 - min(old, 1), 50)
    assert (first.era_of(name), moved.era_of(name)) == (1, 2)
    back = moved.moving({shard: Move(new, old, 200)}).moved({shard: (300, 150)})
    assert [back.counts(name, old, offset) for offset in (99, 100, 150, 151)] == [True, False, False, True]
    assert back.era_of(name) == 3


def test_an_incident_of_the_log_begins_an_era_of_every_shard():
    """Offsets count anew, so former stays say nothing any more."""
    shard = shard_of("g1")
    moved = ShardMap.initial(5).grown(8).moving({shard: Move(shard % 5, 7, 0)}).moved({shard: (100, 20)})
    after = moved.after_incident()
    assert (after.era_of("g1"), after.era_of("g42")) == (moved.era_of("g1") + 1, 2)
    assert after.counts("g1", 7, 0)
    assert not after.counts("g1", shard % 5, 0)
    assert after.after_incident().era_of("g1") == after.era_of("g1") + 1


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 7)), max_size=12), st.booleans())
def test_a_map_is_stored_whole(steps: list[tuple[int, int]], incident: bool):
    """Whatever was done to it."""
    shards = ShardMap.initial(5).grown(8)
    for number, (shard, target) in enumerate(steps):
        shards = shards.moving({shard: Move(shards.home(shard), target, number)})
        if number % 3:
            shards = shards.moved({shard: (number, number)})
    if incident:
        shards = shards.after_incident()
    assert ShardMap.decode(shards.encode()) == shards
    assert sorted(shard for share in shards.shares().values() for shard in share) == list(range(SHARDS))
