"""Shards move to other partitions while everything runs (protocol G): nothing is lost, doubled, or out of order."""

import asyncio
import random
from pathlib import Path

import pytest

from svc.delivery import growing as growing_module
from svc.delivery.growing import Growing, next_moves
from svc.kernel.clock import SystemClock
from svc.kernel.errors import InvalidField, StonechatError
from svc.kernel.eventlog import ACCEPTED
from svc.kernel.record import to_entry
from svc.kernel.shards import SHARDS, ShardMap
from tests.contracts.owner import Stand, until
from tests.messaging.world import World, open_world

USERS = [f"u{number}" for number in range(1, 9)]


def growing(stand: Stand) -> Growing:
    return Growing(stand.log, stand.coordination, SystemClock(), lambda text: None)


def test_each_partition_gets_its_share_and_no_shard_moves_twice() -> None:
    """From any number to any other."""
    for before, after in ((5, 8), (1, 2), (3, 64), (7, 7)):
        shards = ShardMap.initial(before).grown(after)
        moved: set[int] = set()
        while moves := next_moves(shards, {}):
            assert not moved & moves.keys()
            moved |= moves.keys()
            shards = shards.moving(moves).moved(dict.fromkeys(moves, (0, 0)))
        sizes = [len(own) for own in shards.shares().values()]
        assert sum(sizes) == SHARDS
        assert max(sizes) - min(sizes) <= 1 or before == after
        # No more than had to: a shard only leaves for a new partition.
        assert {shards.home(shard) for shard in moved} <= set(range(before, after))


async def test_fewer_partitions_than_there_are_is_refused(tmp_path: Path) -> None:
    """With the limits."""
    async with open_world(tmp_path) as world:
        with pytest.raises(InvalidField, match="from 5"):
            await growing(world.stand).grow(4)
        with pytest.raises(InvalidField, match="4096"):
            await growing(world.stand).grow(5000)


@pytest.mark.parametrize("seed", range(3))
async def test_growing_under_load_keeps_every_promise(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 → 8 while everybody writes, with owners and growers that are stopped half-way, old maps, and repeats."""
    monkeypatch.setattr(growing_module, "TOGETHER", 300)
    dice = random.Random(seed)
    async with open_world(tmp_path) as world:
        world.people.users |= set(USERS)
        stand = world.stand
        pairs = [(a, b) for a in USERS for b in USERS if a < b]
        old_map = stand.coordination.shards
        sent: dict[str, list[int]] = {}
        stopping = asyncio.Event()

        async def write(sender: str, to: str) -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                name = f"d.{sender}.{to}"
                text = f"{name} {number}"
                seq = await _sent(world, sender, to, text)
                sent.setdefault(name, []).append(seq)
                if dice.random() < 0.2:
                    assert await _sent(world, sender, to, text) == seq
                await asyncio.sleep(0.01)

        async def serve() -> None:
            """A service that never heard of a new map: what it appends is carried to where it belongs."""
            number = 0
            while not stopping.is_set():
                number += 1
                record = stand.record(f"d.{USERS[0]}.{USERS[number % 7 + 1]}", f"service {number}", f"s{number}")
                await stand.log.append(ACCEPTED, [to_entry(record, old_map)])
                served.append(record.client_message_id)
                await asyncio.sleep(0.005)

        served: list[str] = []
        writers = [asyncio.create_task(write(*pair)) for pair in dice.sample(pairs, 8)]
        writers.append(asyncio.create_task(serve()))
        sweep = asyncio.create_task(_sweep(world))
        await _grown(world, dice)
        stopping.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*writers)
        await _all_stored(stand, served)
        sweep.cancel()
        assert stand.coordination.shards.partitions == 8
        assert not stand.coordination.shards.moves
        for name, seqs in sent.items():
            assert seqs == sorted(set(seqs)), name
            places = await stand.store.targets([(name, seq) for seq in range(1, seqs[-1] + 1)])
            assert len(places) == seqs[-1], name


async def _sent(world: World, sender: str, to: str, text: str) -> int:
    """Say something until it is acknowledged; returns its place."""
    while True:
        try:
            return (await world.send(sender, to, text, text))[1].seq
        except StonechatError:
            await asyncio.sleep(0.01)


async def _sweep(world: World) -> None:
    while True:
        await asyncio.sleep(0.01)
        world.clock.advance(0.05)


async def _grown(world: World, dice: random.Random) -> None:
    """Grow, being stopped a few times."""
    for _ in range(3):
        running = asyncio.create_task(growing(world.stand).grow(8))
        done, _ = await asyncio.wait([running], timeout=dice.uniform(0.05, 0.5))
        if done:
            running.result()
        running.cancel()
        await asyncio.wait([running])
        owner = world.stand.delivery.streams.owner
        if owner is not None and owner.claims:
            await world.stand.coordination.release(dice.choice(list(owner.claims.values())))
    async with asyncio.timeout(60):
        await growing(world.stand).grow(8)


async def _all_stored(stand: Stand, keys: list[str]) -> None:
    """Everything the service appended is numbered, once."""
    names = [f"d.{USERS[0]}.{user}" for user in USERS[1:]]

    async def stored() -> bool:
        found: list[str] = []
        for name in names:
            rows = await stand.messages.read(
                lambda c, name=name: c.execute(  # type: ignore[misc]
                    "SELECT client_message_id FROM events WHERE conversation_id = ?", (name,)
                ).fetchall()
            )
            found += [row[0] for row in rows if row[0] in wanted]
        assert len(found) == len(set(found))
        return set(found) == wanted

    wanted = set(keys)
    await until(stored)
