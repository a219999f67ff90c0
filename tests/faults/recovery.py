"""How long it takes until everybody is served again after a fault: figures for a table, never asserted."""

import time
from dataclasses import dataclass, field

from tests.faults.load import Load
from tests.faults.server import until


@dataclass
class Recoveries:
    """The table: (fault, seconds)."""

    rows: list[tuple[str, float]] = field(default_factory=list)

    async def measure(self, talk: Load, fault: str, seconds: float = 90.0) -> float:
        """Call at the fault. Returns when each client has had a send acknowledged since, after so many seconds."""
        began, before = time.monotonic(), [client.ledger.acknowledged for client in talk.clients]

        def all_served() -> bool:
            talk.check()
            return all(client.ledger.acknowledged > count for client, count in zip(talk.clients, before, strict=True))

        await until(all_served, f"everybody is served again after: {fault}", seconds)
        took = time.monotonic() - began
        self.rows.append((fault, took))
        return took

    def table(self) -> list[str]:
        """As it is printed."""
        return [f"{took:7.1f} s  {fault}" for fault, took in self.rows]


RECOVERIES = Recoveries()
