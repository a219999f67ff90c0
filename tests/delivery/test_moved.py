"""Records that were appended where their shard does not live (protocol G2)."""

from svc.delivery.moved import HeldBack
from svc.kernel.eventlog import LoggedEntry
from svc.kernel.shards import ShardMap


def test_partitions_are_lost_and_taken_again_while_their_records_are_appended() -> None:
    """What was being appended is forgotten then, or reads the same again; what else waits by then goes on waiting."""
    shards = ShardMap.initial(2)
    entries = [LoggedEntry(partition, offset, 0, "d.u1.u2", b"") for partition in range(2) for offset in range(2)]
    held = HeldBack()
    held.add(entries)
    going = [entry for entry, _ in held.ready(shards)]
    assert going == entries
    held.drop(0)
    held.drop(1)
    again, other = entries[3], LoggedEntry(1, 7, 0, "d.u1.u2", b"")
    held.add([again, other])
    held.appended(going)
    assert held.entries == {1: [other]}
    assert held.below(1, 9) == 7
    held.appended([other])
    assert not held
