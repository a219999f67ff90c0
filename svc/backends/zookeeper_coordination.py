"""What the processes agree on, in ZooKeeper (protocol O1).

/claims/<partition>        ephemeral; value: its owner. The claim's number is the transaction that made it
/shards                    the map of shards
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

from svc.backends.zookeeper import ZooKeeper, follow
from svc.kernel.coordination import Claim
from svc.kernel.errors import Unavailable
from svc.kernel.lifecycle import Failed, owned
from svc.kernel.registry import Instance
from svc.kernel.shards import ShardMap

log = logging.getLogger(__name__)

_CLAIMS = "/claims"
_SHARDS = "/shards"


class ZooKeeperCoordination:
    """`svc.kernel.coordination.Coordination`."""

    def __init__(self, zookeeper: ZooKeeper, shards: ShardMap) -> None:
        self._zookeeper = zookeeper
        self._shards = shards
        self._claims: dict[int, Claim] = {}
        # What this process holds, by the session that it was claimed in.
        self._own: dict[int, tuple[int, Claim]] = {}
        self._watchers: list[Callable[[], None]] = []

    @property
    def shards(self) -> ShardMap:
        return self._shards

    async def read_shards(self) -> ShardMap:
        await self._zookeeper.sync(_SHARDS)
        return await self._look_at_shards(None)

    async def publish(self, shards: ShardMap) -> bool:
        try:
            stored, stat = await self._zookeeper.read(_SHARDS)
            if ShardMap.decode(stored).version != shards.version - 1:
                return False
            await self._zookeeper.write(_SHARDS, shards.encode(), stat.version)
        except (BadVersionError, NoNodeError):
            return False
        self._see_shards(shards)
        return True

    def claims(self) -> Mapping[int, Claim]:
        session = self._zookeeper.session_id
        own = {partition: claim for partition, (of, claim) in self._own.items() if of == session}
        lost = {claim.number for of, claim in self._own.values() if of != session}
        return {partition: claim for partition, claim in self._claims.items() if claim.number not in lost} | own

    async def read_claims(self) -> Mapping[int, Claim]:
        await self._zookeeper.sync(_CLAIMS)
        await self._look_at_claims(None)
        return self.claims()

    async def claim(self, partition: int, instance: Instance) -> Claim | None:
        path, value = f"{_CLAIMS}/{partition}", json.dumps([instance.address, instance.boot_id]).encode()
        session = self._zookeeper.session_id
        try:
            number = await self._zookeeper.create(path, value, ephemeral=True)
        except NodeExistsError:
            try:
                stored, stat = await self._zookeeper.read(path)
                if stored != value:
                    return None
                if stat.ephemeralOwner != session:
                    await self._zookeeper.delete(path)  # of our session before this one
                    return None
                number = int(stat.czxid)  # the answer to an earlier attempt was lost
            except NoNodeError:
                return None
        claim = Claim(partition, number, instance)
        self._own[partition] = (session, claim)
        self._tell()
        return claim

    async def release(self, claim: Claim) -> None:
        session, held = self._own.get(claim.partition, (0, None))
        if held != claim:
            return
        del self._own[claim.partition]
        if self._claims.get(claim.partition) == claim:
            del self._claims[claim.partition]
        self._tell()
        if session != self._zookeeper.session_id:
            return  # it went with its session; what stands there now is somebody else's
        with suppress(NoNodeError):
            await self._zookeeper.delete(f"{_CLAIMS}/{claim.partition}")

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    async def follow_claims(self) -> None:
        """Keep the claims new, until cancelled."""

        await follow(self._zookeeper, self._look_at_claims, "who owns what")

    async def follow_shards(self) -> None:
        """Keep the map new, until cancelled."""

        async def look(changed: Callable[[], None]) -> None:
            await self._look_at_shards(changed)

        await follow(self._zookeeper, look, "where shards live")

    async def _look_at_shards(self, changed: Callable[[], None] | None) -> ShardMap:
        try:
            stored, _ = await self._zookeeper.read(_SHARDS, changed)
        except NoNodeError:
            raise Unavailable("the map of shards is gone from ZooKeeper") from None
        found = ShardMap.decode(stored)
        self._see_shards(found)
        return found

    async def _look_at_claims(self, changed: Callable[[], None] | None) -> None:
        names = await self._zookeeper.children(_CLAIMS, changed)
        # Of a node that was removed and made again between the two reads the newer one is seen: also right.
        found = await asyncio.gather(*map(self._read_claim, names))
        self._claims = {claim.partition: claim for claim in found if claim is not None}
        self._tell()  # also of a session that ended

    async def _read_claim(self, name: str) -> Claim | None:
        try:
            stored, stat = await self._zookeeper.read(f"{_CLAIMS}/{name}")
        except NoNodeError:
            return None
        return Claim(int(name), int(stat.czxid), Instance(*json.loads(stored)))

    def _see_shards(self, shards: ShardMap) -> None:
        if shards.version > self._shards.version:
            self._shards = shards
            self._tell()

    def _tell(self) -> None:
        for watcher in list(self._watchers):
            watcher()


@asynccontextmanager
async def open_coordination(
    zookeeper: ZooKeeper, partitions: int, failed: Failed | None = None
) -> AsyncIterator[ZooKeeperCoordination]:
    """For as long as the block lasts; what holds already is known when it begins. The first process of an installation deals
    the shards to so many partitions."""
    await zookeeper.make_folder(_CLAIMS)
    with suppress(NodeExistsError):
        await zookeeper.create(_SHARDS, ShardMap.initial(partitions).encode())
    stored, _ = await zookeeper.read(_SHARDS)
    coordination = ZooKeeperCoordination(zookeeper, ShardMap.decode(stored))
    async with (
        owned(coordination.follow_claims(), "follow claims", failed),
        owned(coordination.follow_shards(), "follow shards", failed),
    ):
        yield coordination
