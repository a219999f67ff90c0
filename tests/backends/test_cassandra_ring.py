"""Which nodes keep a partition, as Cassandra itself says."""

import pytest

from svc.backends.cassandra_ring import Node, Ring, token_of


def ring(racks: list[str], replication: int) -> Ring:
    """Node n, in the rack given, holds tokens n, n + 100, n + 200 … times a large step."""
    step = 1 << 56
    nodes = [
        Node(f"n{at}", rack, tuple((at + turn * len(racks)) * step - (1 << 62) for turn in range(4)))
        for at, rack in enumerate(racks)
    ]
    return Ring(nodes, replication)


def test_few_nodes_keep_everything():
    """Then nothing has to be computed."""
    assert ring(["a", "b", "c"], 3).owners(("g1", 0)) is None
    assert Ring((), 3).owners(("g1",)) is None


@pytest.mark.parametrize("racks", [["a", "b", "c"] * 2, ["a"] * 5, ["a", "a", "b", "b", "b"], ["a", "a", "a", "b"]])
def test_each_partition_has_its_replicas_in_as_many_racks_as_there_are(racks: list[str]):
    """As NetworkTopologyStrategy places them."""
    found = ring(racks, 3)
    every = set()
    for number in range(200):
        owners = found.owners((f"g{number}", 0))
        assert owners is not None
        every |= owners
        assert len(owners) == 3
        assert len({racks[int(name[1:])] for name in owners}) == min(3, len(set(racks)))
    assert every == {f"n{at}" for at in range(len(racks))}


def test_the_owner_is_the_first_node_at_or_above_the_token():
    """And above the highest, the first of all."""
    step = 1 << 62
    nodes = [Node("low", "a", (-step,)), Node("middle", "a", (0,)), Node("high", "a", (step,))]
    for number in range(100):
        key = f"g{number}".encode()
        token = token_of(key)
        expected = "low" if token <= -step or token > step else "middle" if token <= 0 else "high"
        assert Ring(nodes, 1).owners((key.decode(),)) == {expected}
