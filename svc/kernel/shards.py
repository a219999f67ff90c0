"""Conversation → shard → partition (protocol G1, L1).

Nothing ever hashes straight to a partition: the stable hash leads to one of 4,096 shards, and a versioned map says in which
partition each shard lives, so that partitions can be added without moving a conversation out of its order.

A record counts where its shard lived when the log took it: a pure function of the log and of any map that is new enough.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

SHARDS = 4096


@functools.lru_cache(maxsize=65_536)
def shard_of(conversation_id: str) -> int:
    """0 … 4095: the first 12 bits of BLAKE2b-16 of the id. Fixed for ever."""
    digest = hashlib.blake2b(conversation_id.encode(), digest_size=2).digest()
    return int.from_bytes(digest, "big") >> 4


class Stay(NamedTuple):
    """A shard's time in a partition: its records there count from offset `first` on and below `last` (None: to this day)."""

    partition: int
    first: int = 0
    last: int | None = None


class Place(NamedTuple):
    """Where a shard that was moved has lived, oldest stay first, and how often it moved before the oldest of them."""

    stays: tuple[Stay, ...]
    earlier_moves: int = 0


class Move(NamedTuple):
    """A shard on its way: its fence stands in `source` at offset `since` or later, or is about to be appended there."""

    source: int
    target: int
    since: int


@dataclass(frozen=True, slots=True)
class ShardMap:
    """One version of the map. `dealt`: partitions that the shards were dealt to in the beginning; `partitions`: those there
    are now; `incident`: grows with each incident of the log (T4). Shards without a place never moved."""

    dealt: int
    partitions: int
    version: int = 1
    incident: int = 1
    places: Mapping[int, Place] = field(default_factory=dict)
    moves: Mapping[int, Move] = field(default_factory=dict)

    @classmethod
    def initial(cls, partitions: int) -> "ShardMap":
        """All shards dealt round the partitions."""
        return cls(partitions, partitions)

    def partition_of(self, conversation_id: str) -> int:
        """The partition of `conversation.accepted` that a conversation's records are appended to."""
        return self.home(shard_of(conversation_id))

    def home(self, shard: int) -> int:
        """The partition that a shard lives in."""
        place = self.places.get(shard)
        return shard % self.dealt if place is None else place.stays[-1].partition

    def era_of(self, conversation_id: str) -> int:
        """The era of a conversation's shard (L1): it grows with each move of the shard and each incident of the log."""
        place = self.places.get(shard_of(conversation_id))
        return self.incident + (0 if place is None else place.earlier_moves + len(place.stays) - 1)

    def counts(self, conversation_id: str, partition: int, offset: int) -> bool:
        """Whether a record of the conversation at this offset of this partition may be numbered; else it is MOVED. Says nothing
        of records behind the fence of a move that is under way."""
        shard = shard_of(conversation_id)
        place = self.places.get(shard)
        if place is None:
            return partition == shard % self.dealt
        return any(
            stay.partition == partition and stay.first <= offset and (stay.last is None or offset < stay.last)
            for stay in place.stays
        )

    def grown(self, partitions: int) -> "ShardMap":
        """The next version: so many partitions, the shards where they are."""
        return replace(self, partitions=partitions, version=self.version + 1)

    def moving(self, moves: Mapping[int, Move]) -> "ShardMap":
        """The next version: shards are on their way, and live where they lived."""
        return replace(self, moves={**self.moves, **moves}, version=self.version + 1)

    def moved(self, arrived: Mapping[int, tuple[int, int]]) -> "ShardMap":
        """The next version: shards have arrived. Shard → (offset of its fence, offset of its opening in the target)."""
        places, moves = dict(self.places), dict(self.moves)
        for shard, (fence, opened) in arrived.items():
            move = moves.pop(shard)
            place = places.get(shard, Place((Stay(move.source),)))
            *before, current = place.stays
            stays = (*before, current._replace(last=fence), Stay(move.target, opened + 1))
            places[shard] = place._replace(stays=stays)
        return replace(self, places=places, moves=moves, version=self.version + 1)

    def after_incident(self) -> "ShardMap":
        """The next version: the log is another one, its offsets count anew. Moves under way have to be begun again."""
        places = {
            shard: Place((Stay(place.stays[-1].partition),), place.earlier_moves + len(place.stays) - 1)
            for shard, place in self.places.items()
        }
        return replace(self, places=places, moves={}, incident=self.incident + 1, version=self.version + 1)

    def shares(self) -> dict[int, list[int]]:
        """Partition → the shards that live there."""
        found: dict[int, list[int]] = {partition: [] for partition in range(self.partitions)}
        for shard in range(SHARDS):
            found[self.home(shard)].append(shard)
        return found

    def encode(self) -> bytes:
        """As it is stored."""
        return json.dumps(
            {
                "dealt": self.dealt,
                "partitions": self.partitions,
                "version": self.version,
                "incident": self.incident,
                "places": {shard: [place.earlier_moves, *place.stays] for shard, place in self.places.items()},
                "moves": self.moves,
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def decode(cls, stored: bytes) -> "ShardMap":
        """The map that was encoded."""
        read = json.loads(stored)
        return cls(
            read["dealt"],
            read["partitions"],
            read["version"],
            read["incident"],
            {int(shard): _place(*values) for shard, values in read["places"].items()},
            {int(shard): Move(*values) for shard, values in read["moves"].items()},
        )


class Shards(Protocol):
    """Whoever knows the newest map: `svc.kernel.coordination.Coordination`."""

    @property
    def shards(self) -> ShardMap:
        """The newest map that was seen. Read it anew for each use."""
        ...


@dataclass(frozen=True, slots=True)
class FixedShards:
    """A map that never changes."""

    shards: ShardMap


def _place(earlier_moves: int, *stays: Iterable[int]) -> Place:
    return Place(tuple(Stay(*stay) for stay in stays), earlier_moves)
