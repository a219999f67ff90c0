"""A bound on what is in flight, in any unit: who finds no room waits, first come, first served."""

import asyncio
from collections import deque


class Budget:
    """Room for `total`. What is larger than that counts as all of it: it goes alone."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._left = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, weight: int) -> int:
        """Wait for room; returns what was taken, which must be given back."""
        weight = min(weight, self._total)
        if not self._waiting and weight <= self._left:
            self._left -= weight
            return weight
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((weight, turn))
        try:
            await turn
        except asyncio.CancelledError:
            self.give_back(0 if turn.cancelled() else weight)  # its turn may have come in the same moment
            raise
        return weight

    def give_back(self, weight: int) -> None:
        """Make room again."""
        self._left += weight
        while self._waiting:
            wanted, turn = self._waiting[0]
            if not turn.cancelled():
                if wanted > self._left:
                    return
                self._left -= wanted
                turn.set_result(None)
            self._waiting.popleft()
