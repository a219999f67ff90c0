"""How long it takes until everybody is served again after a fault: figures for a table, never asserted."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, pairwise

from tests.faults.load import Load
from tests.faults.server import until


@dataclass
class Recoveries:
    """The table: (fault, seconds)."""

    rows: list[tuple[str, float]] = field(default_factory=list)

    async def measure(self, talk: Load, fault: str, seconds: float = 90.0) -> float:
        """Call at the fault. Returns when each client that writes has had a send acknowledged since, after so many seconds."""
        began, before = time.monotonic(), [client.ledger.acknowledged for client in talk.writers]

        def all_served() -> bool:
            talk.check()
            return all(client.ledger.acknowledged > count for client, count in zip(talk.writers, before, strict=True))

        await until(all_served, f"everybody is served again after: {fault}", seconds)
        took = time.monotonic() - began
        self.rows.append((fault, took))
        return took

    @contextmanager
    def gap(self, talk: Load, fault: str) -> Iterator[None]:
        """Around a fault: the longest time between two acknowledgements, of anybody and of the client that waited longest."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        each = [[at for at in client.ledger.acknowledged_at if at > began] for client in talk.clients]
        self.rows.append((f"{fault}: nobody had anything acknowledged", _longest(began, sorted(chain(*each)), ended)))
        self.rows.append((f"{fault}: one client had not", max(_longest(began, times, ended) for times in each)))

    def table(self) -> list[str]:
        """As it is printed."""
        return [f"{took:7.1f} s  {fault}" for fault, took in self.rows]


def _longest(began: float, times: list[float], ended: float) -> float:
    return max(later - at for at, later in pairwise([began, *times, ended]))


RECOVERIES = Recoveries()
