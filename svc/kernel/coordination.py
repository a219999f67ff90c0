"""Who owns which partition, and where each shard lives: what the processes of one installation agree on (protocol O1, G1).

ZooKeeper serves this port when there are many processes; a file on a laptop, where the only process owns everything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from svc.kernel.registry import Instance
from svc.kernel.shards import ShardMap


@dataclass(frozen=True, slots=True)
class Claim:
    """An instance owns a partition. `number` is greater than that of every claim made before, of whichever partition."""

    partition: int
    number: int
    instance: Instance


class Coordination(Protocol):
    """What was agreed. Properties and methods that are not `async` tell the newest that this process has seen, at once.

    Claims end with the process that made them, with `release`, or when the session with the coordinator is lost: then they
    vanish from `claims` here at once, though others may see them a little longer.
    """

    @property
    def shards(self) -> ShardMap:
        """The newest map that was seen."""
        ...

    async def read_shards(self) -> ShardMap:
        """The map, at least as new as whatever was published before this was called. Raises Unavailable."""
        ...

    async def publish(self, shards: ShardMap) -> bool:
        """Store a map whose version is the stored one's plus one; False when somebody else was first. Raises Unavailable: the
        outcome is unknown, read again."""
        ...

    def claims(self) -> Mapping[int, Claim]:
        """Partition → its owner."""
        ...

    async def read_claims(self) -> Mapping[int, Claim]:
        """Partition → its owner, asked now. Raises Unavailable."""
        ...

    async def claim(self, partition: int, instance: Instance) -> Claim | None:
        """Claim a partition; None when it is claimed. Raises Unavailable: the outcome is unknown, `claims` will tell."""
        ...

    async def release(self, claim: Claim) -> None:
        """Give a partition back. One that is not held is ignored. Raises Unavailable."""
        ...

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` on the event loop after each change of `shards` or `claims`; returns what ends the watch."""
        ...
