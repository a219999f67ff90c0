"""Owning for as long as the process lives: claim, serve, give back, and after any failure begin anew (protocol O)."""

import asyncio
import logging
from collections.abc import Callable

from svc.delivery.model import LogIncidentError
from svc.delivery.owner import Owner, StalledError
from svc.delivery.ownership import Ownership
from svc.delivery.streams import OwnerStreams
from svc.kernel.clock import Backoff, Clock
from svc.kernel.coordination import Claim, Coordination
from svc.kernel.errors import Unavailable
from svc.kernel.lifecycle import owned
from svc.kernel.registry import Instance, Registry

log = logging.getLogger(__name__)

SERVICE = "delivery"
_HEALTHY_SECONDS = 10.0
_LOOK_SECONDS = 0.25


class Delivery:
    """One instance. `make_owner` builds an owner with nothing in memory."""

    def __init__(
        self,
        make_owner: Callable[[], Owner],
        coordination: Coordination,
        registry: Registry,
        instance: Instance,
        clock: Clock,
    ) -> None:
        self._make_owner = make_owner
        self._coordination = coordination
        self._registry = registry
        self._instance = instance
        self._clock = clock
        self._draining = False
        self._changed = asyncio.Event()
        self._owns_nothing = asyncio.Event()
        self._owns_nothing.set()
        self.streams = OwnerStreams()

    async def run(self) -> None:
        """Until cancelled."""
        forget = [self._coordination.watch(self._look), self._registry.watch(self._changed.set)]
        backoff = Backoff(base=0.1, cap=5.0)
        try:
            while True:
                began = self._clock.monotonic()
                await self._serve_once()
                if self._clock.monotonic() - began > _HEALTHY_SECONDS:
                    backoff.reset()
                await self._clock.sleep(backoff.next_delay())
        finally:
            for end in forget:
                end()

    async def drain(self) -> None:
        """Give every partition back, everything in it through all its steps, and claim no more. Returns when others can."""
        self._draining = True
        self._changed.set()
        await self._owns_nothing.wait()

    async def _serve_once(self) -> None:
        owner = self._make_owner()
        self.streams.owner = owner
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def fail(error: BaseException) -> None:
            if not failed.done():
                failed.set_exception(error)

        try:
            async with (
                owned(owner.run(), "delivery owner", fail),
                owned(self._own(owner), "delivery ownership", fail),
            ):
                await failed
        except LogIncidentError as incident:
            await self._tell_incident(owner, incident)
        except (Unavailable, StalledError) as error:
            log.warning("the claims ended", extra={"error": str(error)})
        except Exception:
            log.exception("the owner failed; it starts over from what is stored")
        finally:
            self.streams.owner = None
        await self._release_all()

    async def _own(self, owner: Owner) -> None:
        """Keep what the owner holds equal to what is claimed, and claim what is for us to claim."""
        ownership, waits = Ownership(self._instance), False
        while True:
            self._changed.clear()
            try:
                await self._look_after(owner, ownership)
            except Unavailable as error:
                # What is held goes on meanwhile (O2: SUSPENDED); what is not held waits.
                if not waits:
                    log.warning("partitions cannot be taken or given now", extra={"error": error.message})
                waits = True
            else:
                waits = False
            await self._wait()

    async def _look_after(self, owner: Owner, ownership: Ownership) -> None:
        shards = self._coordination.shards
        if shards.incident != owner.incident:
            raise LogIncidentError("an incident of the log was told")
        self._drop_lost(owner)
        if self._draining:
            await self._give_all(owner)
            return
        claims, now = self._coordination.claims(), self._clock.monotonic()
        ownership.see(shards.partitions, claims, self._registry.instances(SERVICE), now)
        adopted, orphans = self._adopted(owner), ownership.to_claim(now)
        with owner.loader.coming([*adopted, *orphans]):
            await self._take(owner, adopted + await self._claim(orphans))
        if (partition := ownership.to_give(owner.claims, now)) is not None:
            await self._give(owner, partition)

    async def _wait(self) -> None:
        looking = asyncio.ensure_future(self._changed.wait())
        sleeping = asyncio.ensure_future(self._clock.sleep(_LOOK_SECONDS))
        try:
            await asyncio.wait((looking, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            looking.cancel()
            sleeping.cancel()

    def _look(self) -> None:
        """What was agreed has changed: a claim that is lost ends now, not when its turn comes (O2)."""
        if (owner := self.streams.owner) is not None:
            self._drop_lost(owner)
            owner.map_changed()
        self._changed.set()

    def _drop_lost(self, owner: Owner) -> None:
        claims = self._coordination.claims()
        for partition, claim in list(owner.claims.items()):
            if claims.get(partition) != claim:
                log.warning("a claim was lost", extra={"partition": partition, "claim": claim.number})
                owner.drop(partition)

    def _adopted(self, owner: Owner) -> list[int]:
        """Partitions that are ours without being held: the answer to a claim was lost, or taking one failed."""
        return [
            partition
            for partition, claim in self._coordination.claims().items()
            if claim.instance == self._instance and partition not in owner.claims
        ]

    async def _claim(self, partitions: list[int]) -> list[int]:
        made = await asyncio.gather(*(self._coordination.claim(each, self._instance) for each in partitions))
        return [claim.partition for claim in made if claim is not None]

    async def _take(self, owner: Owner, partitions: list[int]) -> None:
        claims = self._coordination.claims()
        taken = [claim for partition in partitions if (claim := claims.get(partition)) is not None]
        taken = [claim for claim in taken if claim.instance == self._instance]
        if not taken:
            return
        self._owns_nothing.clear()
        began = self._clock.monotonic()
        await owner.take(taken)
        log.info(
            "took partitions over",
            extra={"partitions": partitions, "seconds": round(self._clock.monotonic() - began, 3)},
        )

    async def _give(self, owner: Owner, partition: int) -> None:
        claim: Claim | None = owner.claims.get(partition)
        began = self._clock.monotonic()
        await owner.give(partition)
        if claim is not None:
            await self._coordination.release(claim)
        log.info(
            "gave a partition back",
            extra={"partition": partition, "seconds": round(self._clock.monotonic() - began, 3)},
        )

    async def _give_all(self, owner: Owner) -> None:
        for partition in list(owner.claims):
            await self._give(owner, partition)
        for claim in [claim for claim in self._coordination.claims().values() if claim.instance == self._instance]:
            await self._coordination.release(claim)
        self._owns_nothing.set()

    async def _tell_incident(self, owner: Owner, incident: LogIncidentError) -> None:
        """Positions count anew, above every one before (T4). Owners that notice it together tell it once."""
        shards = self._coordination.shards
        if shards.incident != owner.incident:
            return
        log.critical("the log is not the one that was stored from: a new era begins", extra={"why": str(incident)})
        try:
            newest = await self._coordination.read_shards()
            if newest.incident == owner.incident:
                await self._coordination.publish(newest.after_incident())
        except Unavailable as error:
            log.warning("the new era is not stored yet", extra={"error": error.message})

    async def _release_all(self) -> None:
        """Whoever can serve them should."""
        for claim in list(self._coordination.claims().values()):
            if claim.instance == self._instance:
                try:
                    await self._coordination.release(claim)
                except Unavailable as error:
                    log.warning("a claim is not given back yet", extra={"error": error.message})
        if self._draining:
            self._owns_nothing.set()
