"""The files of a Kafka broker that does not run: cutting the tail of a topic, as a disk does that lost what was not flushed.

A partition is a folder of segments; a segment is a row of record batches, each of which says how long it is: base offset
(8 bytes), length of what follows (4 bytes, big-endian). Source: Kafka's documentation, "Message format".
"""

import struct
from collections.abc import Iterator
from pathlib import Path

_HEAD = struct.Struct(">qi")
_MADE_FROM_SEGMENTS = ("*.index", "*.timeindex", "*.txnindex", "*.snapshot")


def cut(data: Path, topic: str, keep: float) -> int:
    """Leave this share of the batches of each partition of a topic, at least none, and of its segments only the newest may
    be cut; returns how many batches were cut."""
    gone = 0
    for folder in data.glob(f"**/{topic}-*"):
        segment = max(folder.glob("*.log"))
        ends = list(_ends(segment))
        kept = int(len(ends) * keep)
        gone += len(ends) - kept
        with segment.open("r+b") as file:
            file.truncate(ends[kept - 1] if kept else 0)
        for pattern in _MADE_FROM_SEGMENTS:
            for made in folder.glob(pattern):
                made.unlink()
    return gone


def _ends(segment: Path) -> Iterator[int]:
    """Where each batch ends."""
    content, at = segment.read_bytes(), 0
    while at + _HEAD.size <= len(content):
        _, length = _HEAD.unpack_from(content, at)
        if length <= 0:
            return  # room that was set aside
        at += _HEAD.size + length
        yield at
