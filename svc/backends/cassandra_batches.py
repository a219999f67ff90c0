"""Which rows travel together (protocol W7): rows that the same nodes keep, in unlogged batches of bounded size.

The rows of one partition are never torn apart: they are stored together or not at all.
"""

import marshal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from svc.backends.cassandra_ring import Owners

BATCH_BYTES = 40_000
"""Below the 50 KiB at which Cassandra refuses a batch over several partitions. One over a single partition is not bounded."""
_CELL_BYTES = 16  # what a cell is counted with besides its value


@dataclass(frozen=True, slots=True)
class Insert:
    """A statement that writes one row; the first `key` of its parameters are the whole partition key."""

    text: str
    key: int


Mutation = tuple[Insert, tuple[object, ...]]
"""A row to write: the statement, and its parameters."""


def weight_of(mutation: Mutation) -> int:
    """About how many bytes a row is for Cassandra, rather more than less."""
    parameters: tuple[Any, ...] = mutation[1]
    return len(marshal.dumps(parameters)) + _CELL_BYTES * len(
        parameters
    )  # the fastest way to add up the sizes of values


def batches(
    mutations: Iterable[Mutation], owners: Callable[[Sequence[object]], Owners]
) -> list[tuple[list[Mutation], int]]:
    """What is sent as one batch each, with its weight; rows of a partition in the order given. `owners`: who keeps a partition,
    by its key."""
    partitions: dict[tuple[object, ...], list[Mutation]] = {}
    for mutation in mutations:
        insert, parameters = mutation
        partitions.setdefault((insert.text, *parameters[: insert.key]), []).append(mutation)
    made: list[tuple[list[Mutation], int]] = []
    open_: dict[Owners, int] = {}  # where in `made` the batch is that still takes rows
    for key, rows in partitions.items():
        weight, group = sum(map(weight_of, rows)), owners(key[1:])
        at = open_.get(group)
        if at is None or made[at][1] + weight > BATCH_BYTES:
            open_[group] = len(made)
            made.append((rows, weight))
        else:
            batch, taken = made[at]
            made[at] = (batch + rows, taken + weight)
    return made
