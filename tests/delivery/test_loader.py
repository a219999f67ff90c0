"""Waking conversations while their partitions come and go (protocol T1, S3)."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from svc.delivery.adapters.sqlite import SqliteMessageStore
from svc.delivery.hub import NodeQueue
from svc.delivery.model import Position, Slice
from svc.delivery.owner import Owner
from svc.delivery.wire import ProtoEncoder
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.lifecycle import owned
from svc.kernel.registry import Instance
from tests.contracts.owner import Stand, open_stand, until

NAME = "d.u1.u2"


class SlowStore(SqliteMessageStore):
    """Reads heads when it may."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand.messages)
        self.asked = 0
        self.may = asyncio.Event()

    async def load(self, starts: Mapping[str, Position]) -> dict[str, Slice]:
        self.asked += 1
        await self.may.wait()
        return await super().load(starts)


async def test_what_was_being_loaded_for_a_former_claim_is_loaded_for_the_next(tmp_path: Path) -> None:
    """Somebody subscribes, the claim is lost and made again while the head is read, and a record comes: it needs that load too,
    which was for the claim before. It is numbered, and not passed over."""
    async with open_stand(tmp_path) as stand:
        store, clock, coordination = SlowStore(stand), stand.clock, stand.coordination
        encoder = ProtoEncoder(clock, SnowflakeGenerator(clock))
        owner = Owner(stand.log, store, encoder, clock, stand.tracer, coordination)
        partition = coordination.shards.partition_of(NAME)
        async with owned(owner.run(), "owner"):
            await _claim(stand, owner, partition)
            queue = NodeQueue("node", lambda: None)
            owner.hub.open(queue)
            owner.loader.subscribe(queue, [NAME])

            async def loads() -> bool:
                return store.asked == 1

            await until(loads)
            claim = owner.claims[partition]
            owner.drop(partition)
            await coordination.release(claim)
            await _claim(stand, owner, partition)
            await stand.append(stand.record(NAME))

            async def waits() -> bool:
                return not owner._rounds_done.is_set()

            await until(waits)
            store.may.set()
            await stand.heads(NAME, 1)


async def _claim(stand: Stand, owner: Owner, partition: int) -> None:
    claim = await stand.coordination.claim(partition, Instance("", "boot"))
    assert claim is not None
    await owner.take([claim])
