"""Which rows travel together (protocol W7): rows that the same nodes keep, in unlogged batches of bounded size.

The rows of one partition are never torn apart: they are stored together or not at all.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from svc.backends.cassandra_ring import Owners

BATCH_BYTES = 40_000
"""Below the 50 KiB at which Cassandra refuses a batch over several partitions. One over a single partition is not bounded."""
_CELL_BYTES = 24  # what a cell is counted with besides its value


@dataclass(frozen=True, slots=True)
class Insert:
    """A statement that writes one row; the first `key` of its parameters are the whole partition key."""

    text: str
    key: int


Mutation = tuple[Insert, Sequence[object]]
"""A row to write: the statement, and its parameters."""


def weight_of(mutations: Iterable[Mutation]) -> int:
    """About how many bytes they are for Cassandra, rather more than less."""
    return sum(
        _CELL_BYTES + (len(value) if isinstance(value, (bytes, str)) else 8)
        for _, parameters in mutations
        for value in parameters
    )


def batches(mutations: Iterable[Mutation], owners: Callable[[Sequence[object]], Owners]) -> list[list[Mutation]]:
    """What is sent as one batch each, rows of a partition in the order given. `owners`: who keeps a partition, by its key."""
    partitions: dict[tuple[object, ...], list[Mutation]] = {}
    for mutation in mutations:
        insert, parameters = mutation
        partitions.setdefault((insert.text, *parameters[: insert.key]), []).append(mutation)
    made: list[list[Mutation]] = []
    open_: dict[Owners, tuple[list[Mutation], int]] = {}
    for key, rows in partitions.items():
        weight, group = weight_of(rows), owners(key[1:])
        batch, taken = open_.get(group, ([], BATCH_BYTES))
        if taken + weight > BATCH_BYTES:
            batch, taken = [], 0
            made.append(batch)
        batch += rows
        open_[group] = batch, taken + weight
    return made
