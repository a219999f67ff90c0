"""Eras of the log (protocol L1, T4): offsets count within one, and so do committed ones."""

from collections.abc import Mapping

_GROUP = "delivery"


def group_of(era: int) -> str:
    """The consumer group of an era: a former owner's late commit must not skip what a new log holds."""
    return f"{_GROUP}.{era}"


def by_era(eras: Mapping[int, int]) -> dict[int, list[int]]:
    """The partitions of each era, the oldest era first. `eras`: partition → era."""
    return {era: [partition for partition in eras if eras[partition] == era] for era in sorted(set(eras.values()))}
