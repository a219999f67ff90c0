"""Percentiles, from all samples."""

import math
from collections.abc import Sequence

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


def percentiles_ms(samples_us: Sequence[int]) -> dict[str, float | None]:
    """Of samples in µs, in ms, by nearest rank: the smallest sample that such a share of all does not exceed."""
    ordered = sorted(samples_us)
    return {
        name: ordered[math.ceil(share * len(ordered)) - 1] / 1000 if ordered else None for name, share in SHARES.items()
    }
