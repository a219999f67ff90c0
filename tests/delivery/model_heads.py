"""What `Heads` promises, in a few lines: tests hold Redis against it, and break it in every way that Redis can break."""

import copy
import itertools
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from svc.kernel.errors import Unavailable


@dataclass
class Space:
    chain: int = 0
    mark: int = -1
    entries: dict[str, tuple[int, int]] = field(default_factory=dict)  # name → (chain, seq)


class Turn:
    """Awaited, it lets whoever drives the coroutine do something else first."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class ModelHeads:
    """`down`: nobody is answered. `deaf`: what is written is not answered, and done at once, later (`catch_up`) or never.
    `turns`: each call lets others run before and after it does what it does."""

    def __init__(self) -> None:
        self.spaces: dict[str, Space] = {}
        self.down = False
        self.deaf: Literal["at once", "later", "never"] | None = None
        self.turns = False
        self._chains = itertools.count(1)
        self._late: list[tuple[str, int, int, int, Mapping[str, int]]] = []

    async def read(self, space: str, names: Sequence[str]) -> tuple[int, dict[str, int]]:
        await self._turn()
        found = self.spaces.get(space, Space())
        answer = (
            found.mark,
            {
                name: found.entries[name][1]
                for name in names
                if name in found.entries and found.entries[name][0] == found.chain
            },
        )
        await self._turn()
        return answer

    async def write(self, space: str, start: int, end: int, log_end: int, heads: Mapping[str, int]) -> None:
        await self._turn()
        if self.deaf == "later":
            self._late.append((space, start, end, log_end, heads))
        elif self.deaf != "never":
            self.now(space, start, end, log_end, heads)
        if self.deaf is not None:
            raise Unavailable("no answer")
        await self._turn()

    def now(self, space: str, start: int, end: int, log_end: int, heads: Mapping[str, int]) -> None:
        """What `write` does, at this moment."""
        self._write(self.spaces.setdefault(space, Space()), start, end, log_end, heads)

    def _write(self, space: Space, start: int, end: int, log_end: int, heads: Mapping[str, int]) -> None:
        if not start <= space.mark <= log_end:
            space.chain = next(self._chains)
        elif space.mark > end:
            return
        for name, seq in heads.items():
            chain, known = space.entries.get(name, (0, 0))
            space.entries[name] = space.chain, max(seq, known if chain == space.chain else 0)
        space.mark = end

    async def _turn(self) -> None:
        if self.down:
            raise Unavailable("the cache is down")
        if self.turns:
            await Turn()

    # What happens to a cache

    def catch_up(self) -> None:
        """A server that stood still reads what it was sent, though nobody waits for it any more."""
        for written in self._late:
            self.now(*written)
        self._late.clear()

    def wipe(self) -> None:
        self.spaces.clear()

    def saved(self) -> dict[str, Space]:
        return copy.deepcopy(self.spaces)

    def restore(self, saved: dict[str, Space]) -> None:
        self.spaces = copy.deepcopy(saved)

    def evict(self, name: str) -> None:
        for space in self.spaces.values():
            space.entries.pop(name, None)
