"""Which nodes keep a partition: what the driver knows but does not tell. Rows that the same nodes keep can share a batch.

A ring that is a minute old, or wrong, costs a hop inside the cluster and nothing else.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_MASK = (1 << 64) - 1
_C1, _C2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
_TOKENS_KEPT = 65_536

Owners = frozenset[str] | None
"""The addresses of the nodes of this data centre that keep a partition; None: all keep everything."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the local data centre."""

    address: str
    rack: str
    tokens: tuple[int, ...]


class Ring:
    """The nodes of one data centre, as NetworkTopologyStrategy uses them for so many replicas."""

    def __init__(self, nodes: Sequence[Node], replication: int) -> None:
        self._points: list[int] = []
        self._owners: list[frozenset[str]] = []
        if len(nodes) <= replication:
            return
        points = sorted((token, node) for node in nodes for token in node.tokens)
        walk = [node for _, node in points]
        racks = len({node.rack for node in nodes})
        self._points = [token for token, _ in points]
        self._owners = [_replicas(walk[at:] + walk[:at], racks, replication) for at in range(len(walk))]

    def owners(self, key: Sequence[object]) -> Owners:
        """Who keeps the partition with this key."""
        if not self._points:
            return None
        return self._owners[bisect_left(self._points, token_of(_routing_key(key))) % len(self._points)]


def _replicas(walk: Sequence[Node], racks: int, replication: int) -> frozenset[str]:
    # As org.apache.cassandra.locator.NetworkTopologyStrategy: a rack is used again only when all have been, or must be.
    chosen: set[str] = set()
    seen: set[str] = set()
    repeats = replication - racks
    for node in walk:
        if len(chosen) == replication:
            break
        if node.address in chosen:
            continue
        if node.rack in seen:
            if repeats <= 0:
                continue
            repeats -= 1
        seen.add(node.rack)
        chosen.add(node.address)
    return frozenset(chosen)


def _routing_key(key: Sequence[object]) -> bytes:
    parts = [value.encode() if isinstance(value, str) else int(str(value)).to_bytes(4, "big") for value in key]
    if len(parts) == 1:
        return parts[0]
    return b"".join(len(part).to_bytes(2, "big") + part + b"\x00" for part in parts)


@lru_cache(_TOKENS_KEPT)
def token_of(key: bytes) -> int:
    """Murmur3Partitioner's token of a serialised partition key: the first half of MurmurHash3 (x64, 128 bits), with the bytes
    of the tail taken as signed, as Cassandra does."""
    h1 = h2 = 0
    end = len(key) & ~15
    for at in range(0, end, 16):
        k1 = int.from_bytes(key[at : at + 8], "little")
        k2 = int.from_bytes(key[at + 8 : at + 16], "little")
        h1 = _rotated(h1 ^ _mixed(k1, _C1, 31, _C2), 27) + h2
        h1 = (h1 * 5 + 0x52DCE729) & _MASK
        h2 = _rotated(h2 ^ _mixed(k2, _C2, 33, _C1), 31) + h1
        h2 = (h2 * 5 + 0x38495AB5) & _MASK
    k1, k2 = _signed(key[end : end + 8]), _signed(key[end + 8 :])
    h2 ^= _mixed(k2, _C2, 33, _C1) ^ len(key)
    h1 ^= _mixed(k1, _C1, 31, _C2) ^ len(key)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    token = (_finished(h1) + _finished(h2)) & _MASK
    token = token - (1 << 64) if token >> 63 else token
    return token if token != -(1 << 63) else (1 << 63) - 1


def _signed(tail: bytes) -> int:
    word = 0
    for at, byte in enumerate(tail):
        word ^= ((byte - 256 if byte > 127 else byte) << (8 * at)) & _MASK
    return word


def _mixed(word: int, first: int, bits: int, second: int) -> int:
    return (_rotated((word * first) & _MASK, bits) * second) & _MASK


def _rotated(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (64 - bits))) & _MASK


def _finished(word: int) -> int:
    word = ((word ^ (word >> 33)) * 0xFF51AFD7ED558CCD) & _MASK
    word = ((word ^ (word >> 33)) * 0xC4CEB9FE1A85EC53) & _MASK
    return word ^ (word >> 33)
