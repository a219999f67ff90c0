"""Where a conversation lives must never depend on who asks, or when."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.kernel.shards import SHARDS, ShardMap, shard_of


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
