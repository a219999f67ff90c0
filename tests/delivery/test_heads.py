"""A head from the cache is one that the message store could have told: on seeded schedules of owners that come, go, stand
still and go on, and of a cache that loses, delays, forgets and comes back old."""

import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from svc.delivery.heads import MAX_LOADED, HeadCache
from tests.delivery.model_heads import ModelHeads, Space

NAMES = "abc"
SEEDS = 2000


@dataclass(eq=False)
class Owner:
    cache: HeadCache
    position: int  # every record below is stored and relayed
    told_before: Counter[str]  # the highest seq of each that anybody had relayed when it took over
    tasks: list[Coroutine[Any, Any, None]] = field(default_factory=list)
    writes: bool = False


class World:
    """One partition. A record is the name of its conversation; its seq is how often that name came so far."""

    def __init__(
        self, seed: int, cache: type[HeadCache] = HeadCache, model: Callable[[], ModelHeads] = ModelHeads
    ) -> None:
        self._random = random.Random(seed)
        self._cache = cache
        self.heads = model()
        self.heads.turns = True
        self.log: list[str] = []
        self.stored = 0
        self.committed = 0
        self.relayed: Counter[str] = Counter()
        self.saved: dict[str, Space] = {}
        self.answers = 0
        self.wrong: list[str] = []
        self.owners: list[Owner] = []
        self.take()

    def take(self) -> None:
        """Somebody takes the partition over. Whoever had it may not know yet."""
        cache = self._cache(self.heads, "0.1", lambda name: 0, self.committed, len(self.log))
        self.owners.append(Owner(cache, self.committed, self.relayed.copy()))

    def crash(self) -> None:
        for task in self.owners.pop().tasks:
            task.close()
        self.take()

    def process(self, owner: Owner) -> None:
        for _ in range(self._random.randint(1, 3)):
            if owner.position < len(self.log):
                name = self.log[owner.position]
                owner.position += 1
                self.stored = max(self.stored, owner.position)
                seq = self._head(name, owner.position)
                owner.cache.stored(name, seq)
                if owner is self.owners[-1]:
                    self.relayed[name] = max(seq, self.relayed[name])

    async def finish(self, owner: Owner) -> None:
        through = owner.position
        await owner.cache.write(through)
        self.committed = through
        owner.writes = False

    async def ask(self, owner: Owner) -> None:
        answered = await owner.cache.read(self._random.sample(NAMES, self._random.randint(1, 3)))
        if owner is not self.owners[-1]:
            return  # nodes do not hear former owners
        for name, head in answered.items():
            self.answers += 1
            least = max(self._head(name, owner.position), owner.told_before[name])
            most = self._head(name, self.stored)
            if not least <= head <= most:
                self.wrong.append(f"{name}: {head} is not in {least}…{most}")

    def load(self, owner: Owner) -> None:
        name = self._random.choice(NAMES)
        owner.cache.loaded(name, self._head(name, self.stored))

    def act(self) -> None:
        owner = self.owners[-1] if self._random.random() < 0.8 else self._random.choice(self.owners)
        what = self._random.random()
        if what < 0.1:
            self.log.extend(self._random.choices(NAMES, weights=(6, 2, 1), k=self._random.randint(1, 3)))
        elif what < 0.25:
            self.process(owner)
        elif what < 0.35:
            if not owner.writes:
                owner.writes = True
                owner.tasks.append(self.finish(owner))
        elif what < 0.45:
            owner.tasks.append(self.ask(owner))
        elif what < 0.48:
            self.load(owner)
        elif what < 0.97:
            self.step(owner)
        else:
            self.happen()

    def happen(self) -> None:
        heads, what = self.heads, self._random.randrange(11)
        if what == 0:
            heads.wipe()
        elif what == 1:
            self.saved = heads.saved()
        elif what == 2:
            heads.restore(self.saved)
        elif what == 3:
            heads.down = not heads.down
        elif what == 4:
            heads.deaf = self._random.choice([None, "at once", "later", "never"])
        elif what == 5:
            heads.evict(f"0.{self._random.choice(NAMES)}")
        elif what == 10:
            heads.catch_up()
        elif what == 6:
            self.crash()
        elif what == 7:
            self.take()
        else:
            heads.down, heads.deaf = False, None

    def step(self, owner: Owner) -> None:
        if not owner.tasks:
            return
        task = self._random.choice(owner.tasks)
        try:
            task.send(None)
        except StopIteration:
            owner.tasks.remove(task)

    def close(self) -> None:
        for owner in self.owners:
            for task in owner.tasks:
                task.close()

    def _head(self, name: str, below: int) -> int:
        return self.log[:below].count(name)


def run(seed: int, cache: type[HeadCache] = HeadCache, model: Callable[[], ModelHeads] = ModelHeads) -> World:
    world = World(seed, cache, model)
    for _ in range(200):
        world.act()
    world.close()
    return world


def test_no_schedule_makes_it_tell_a_wrong_head():
    """And most of them make it tell some."""
    answers = 0
    for seed in range(SEEDS):
        world = run(seed)
        assert not world.wrong, f"seed {seed}: {world.wrong}"
        answers += world.answers
    assert answers > SEEDS


class BelievesAnyMark(HeadCache):
    def _reaches(self, mark: int, through: int) -> bool:
        return True


class ForgetsWhatWaits(HeadCache):
    def _in_memory(self, conversation_id: str) -> int:
        return self._being_written.get(conversation_id, 0)


class ForgetsWhatIsWritten(HeadCache):
    def _in_memory(self, conversation_id: str) -> int:
        return self._waiting.get(conversation_id, 0)


class MissesWhatComesMeanwhile(HeadCache):
    def stored(self, conversation_id: str, seq: int) -> None:
        reads, self._reads = self._reads, {}
        super().stored(conversation_id, seq)
        self._reads = reads


class DoesNotCatchUp(HeadCache):
    @property
    def is_caught_up(self) -> bool:
        return True


class JoinsOverGaps(ModelHeads):
    def _write(self, space: Space, start: int, end: int, log_end: int, heads: Mapping[str, int]) -> None:
        super()._write(space, min(start, max(space.mark, 0)), end, log_end, heads)


class LetsTheLateWrite(ModelHeads):
    def _write(self, space: Space, start: int, end: int, log_end: int, heads: Mapping[str, int]) -> None:
        mark = space.mark
        super()._write(space, start, max(end, mark), log_end, heads)


class KeepsVoidHeads(ModelHeads):
    def _write(self, space: Space, start: int, end: int, log_end: int, heads: Mapping[str, int]) -> None:
        chain = space.chain or 1
        super()._write(space, start, end, log_end, heads)
        space.chain = chain
        space.entries = {name: (chain, seq) for name, (_, seq) in space.entries.items()}


@pytest.mark.parametrize(
    ("cache", "model"),
    [
        (BelievesAnyMark, ModelHeads),
        (ForgetsWhatWaits, ModelHeads),
        (ForgetsWhatIsWritten, ModelHeads),
        (MissesWhatComesMeanwhile, ModelHeads),
        (DoesNotCatchUp, ModelHeads),
        (HeadCache, JoinsOverGaps),
        (HeadCache, LetsTheLateWrite),
        (HeadCache, KeepsVoidHeads),
    ],
)
def test_each_mistake_is_found(cache: type[HeadCache], model: Callable[[], ModelHeads]):
    """The schedules are hard enough: with any of these rules left out one of them goes wrong."""
    assert any(run(seed, cache, model).wrong for seed in range(5 * SEEDS))


async def test_what_was_only_loaded_waits_for_the_next_write():
    """It is kept for who asks next; too much of it is not."""
    heads = ModelHeads()
    cache = HeadCache(heads, "0.1", lambda name: 3, 10, 10)
    for number in range(MAX_LOADED + 5):
        cache.loaded(f"c{number}", 7)
    cache.loaded("empty", 0)
    await cache.write(10)
    assert len(heads.spaces["0.1"].entries) == MAX_LOADED
    assert await cache.read(["c0", "empty"]) == {"c0": 7}


async def test_heads_of_another_era_are_not_believed():
    """The shard of a conversation has lived elsewhere since."""
    heads, era = ModelHeads(), 3
    cache = HeadCache(heads, "0.1", lambda name: era, 0, 0)
    cache.stored("c", 7)
    await cache.write(5)
    assert await cache.read(["c"]) == {"c": 7}
    era = 4
    assert await cache.read(["c"]) == {}


async def test_nothing_to_write_is_not_written():
    """An idle partition costs no call."""
    heads = ModelHeads()
    cache = HeadCache(heads, "0.1", lambda name: 0, 10, 10)
    await cache.write(10)
    assert heads.spaces == {}


async def test_what_is_read_again_does_not_move_the_mark_back():
    """Records below where everything is through are read for the marks of moves."""
    heads = ModelHeads()
    cache = HeadCache(heads, "0.1", lambda name: 0, 10, 10)
    cache.stored("c", 7)
    await cache.write(6)
    assert heads.spaces["0.1"].mark == 10
    assert await cache.read(["c"]) == {"c": 7}
