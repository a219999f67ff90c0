"""Somebody replays the log while everything runs."""

import asyncio
from typing import TYPE_CHECKING

from svc.delivery.replaying import Replaying
from svc.delivery.retry import Retry
from tests.simulation.agreement import CoordinationPort
from tests.simulation.model_log import LogPort
from tests.simulation.model_store import StorePort
from tests.simulation.process import Process, ProcessClock
from tests.simulation.replicas import Replica

if TYPE_CHECKING:
    from tests.simulation.world import World

_REPLAY_SECONDS = 60.0


class ReplayProcess(Process):
    """The real command's work, from the beginning of the log."""

    def __init__(self, world: "World", name: str) -> None:
        super().__init__(world, name)
        log, store = LogPort(world.log, self), StorePort(world.store, self)
        replaying = Replaying(log, store, CoordinationPort(world.agreement, self), Retry(ProcessClock(self)))
        self.done = asyncio.Event()

        async def replay() -> None:
            await replaying.replay(None, lambda done: world.trace(name, "replayed", done))
            self.done.set()

        self.start(replay())


async def repair_by_replay(world: "World") -> None:
    """A replica loses everything, and nobody repairs it but a replay."""
    store = world.store
    store.repair()
    lost = world.random.choice(store.replicas)
    whole = Replica.empty(lost.number)
    whole.copy_from(lost)
    lost.wipe()
    async with asyncio.timeout(_REPLAY_SECONDS):
        await ReplayProcess(world, "repair").done.wait()
    if (missing := _missing(lost, whole)) is not None:
        world.fail("replaying is repairing", f"replica{lost.number} has no {missing}, or another one")


def _missing(replica: Replica, whole: Replica) -> object:
    for name, buckets in whole.events.items():
        for bucket, rows in buckets.items():
            for seq, cells in rows.items():
                found = replica.events[name][bucket].get(seq)
                if found is None or not found.same(cells):
                    return name, seq
    for key, (_, row) in whole.keys.items():
        if key not in replica.keys or replica.keys[key][1] != row:
            return key
    return next((listed for listed, row in whole.lists.items() if replica.lists.get(listed) != row), None)
