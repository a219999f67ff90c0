"""Which partitions an instance should own: rendezvous order (protocol O1). Pure.

Each partition ranks the live instances by a hash of both: the first should own it, the next ones stand in. An instance that
comes or goes so changes the owner of its own partitions only. Source: D. Thaler, C. Ravishankar, "Using name-based mappings to
increase hit rates", IEEE/ACM Transactions on Networking 6(1), 1998.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from svc.kernel.coordination import Claim
from svc.kernel.registry import Instance

STEP_SECONDS = 1.0
"""Each next choice waits so much longer before it claims a partition that nobody owns."""
STABLE_SECONDS = 10.0
"""A partition moves of its own accord only when the live instances have been the same for so long."""


def order(partition: int, instances: Iterable[Instance]) -> list[Instance]:
    """The instances, the one that should own the partition first."""

    def weight(instance: Instance) -> bytes:
        return hashlib.blake2b(f"{partition} {instance.boot_id}".encode(), digest_size=8).digest()

    return sorted(instances, key=weight)


class Ownership:
    """What one instance, `own`, does about partitions. It is told what is seen, with the time in seconds."""

    def __init__(self, own: Instance) -> None:
        self._own = own
        self._live: frozenset[Instance] = frozenset()
        self._live_since = 0.0
        self._orphan_since: dict[int, float] = {}

    def see(self, partitions: int, claims: Mapping[int, Claim], live: Sequence[Instance], now: float) -> None:
        """What there is now."""
        instances = frozenset({*live, self._own})
        if instances != self._live:
            self._live, self._live_since = instances, now
        orphans = [partition for partition in range(partitions) if partition not in claims]
        self._orphan_since = {partition: self._orphan_since.get(partition, now) for partition in orphans}

    def to_claim(self, now: float) -> list[int]:
        """Partitions that nobody owns, and that are for us to claim: at once where we are first, a second later for each
        instance before us."""
        return [
            partition
            for partition, since in self._orphan_since.items()
            if now - since >= STEP_SECONDS * order(partition, self._live).index(self._own)
        ]

    def to_give(self, owned: Iterable[int], now: float) -> int | None:
        """One of the partitions that we own and somebody else should, once nobody came or went for a while and nothing waits
        for an owner."""
        if now - self._live_since < STABLE_SECONDS or self._orphan_since:
            return None
        for partition in sorted(owned):
            if order(partition, self._live)[0] != self._own:
                return partition
        return None
