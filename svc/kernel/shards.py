"""Conversation → shard → partition.

Nothing ever hashes straight to a partition: the stable hash leads to one of 4,096 shards, and a versioned map says in which
partition each shard lives, so that partitions can be added without moving a conversation out of its order.
"""

import functools
import hashlib
from dataclasses import dataclass

SHARDS = 4096


@functools.lru_cache(maxsize=65_536)
def shard_of(conversation_id: str) -> int:
    """0 … 4095: the first 12 bits of BLAKE2b-16 of the id. Fixed for ever."""
    digest = hashlib.blake2b(conversation_id.encode(), digest_size=2).digest()
    return int.from_bytes(digest, "big") >> 4


@dataclass(frozen=True, slots=True)
class ShardMap:
    """Which partition holds which shard. One version so far: moving shards between partitions comes with growing."""

    partitions: int

    @classmethod
    def initial(cls, partitions: int) -> "ShardMap":
        """All shards dealt round the partitions."""
        return cls(partitions)

    def partition_of(self, conversation_id: str) -> int:
        """The partition of `conversation.accepted` that a conversation's records are appended to."""
        return shard_of(conversation_id) % self.partitions
