"""A link to every delivery instance that is up, and the way from a conversation to its owner (protocol S1, S7)."""

import asyncio
import logging
from collections.abc import Collection, Mapping

from svc.kernel.clock import Clock
from svc.kernel.coordination import Claim, Coordination
from svc.kernel.registry import Instance, Registry
from svc.kernel.relay import Relay, Signal, Unanswered
from svc.messaging.link import Link
from svc.messaging.requests import Requests
from svc.messaging.subscriptions import Subscriptions

log = logging.getLogger(__name__)

SERVICE = "delivery"


class Links:
    """All of a node. Subscriptions, questions and signals go to whoever owns the conversation, as far as known; while nobody
    does, or there is no stream there, they wait or, signals, are dropped."""

    def __init__(
        self,
        node: str,
        relay: Relay,
        registry: Registry,
        coordination: Coordination,
        subscriptions: Subscriptions,
        requests: Requests,
        clock: Clock,
    ) -> None:
        self._node = node
        self._relay = relay
        self._registry = registry
        self._coordination = coordination
        self._subscriptions = subscriptions
        self._requests = requests
        self._clock = clock
        self._links: dict[Instance, Link] = {}
        self._tasks: dict[Instance, asyncio.Task[None]] = {}
        self._shards = coordination.shards
        self._claims: Mapping[int, Claim] = {}
        self._ways: dict[int, Link] = {}  # partition → the link to its owner, while it is open
        self._changed = asyncio.Event()
        self._regressions = 0

    async def run(self) -> None:
        """Until cancelled."""
        forget = [self._registry.watch(self._changed.set), self._coordination.watch(self._reroute)]
        try:
            while True:
                self._reroute()
                self._changed.clear()
                await self._follow(self._registry.instances(SERVICE))
                await self._changed.wait()
        finally:
            for end in forget:
                end()
            await self._follow(())

    async def _follow(self, live: Collection[Instance]) -> None:
        for instance in live:
            if instance in self._links:
                continue
            link = Link(
                self._node,
                instance,
                self._relay,
                self._subscriptions,
                self._requests,
                self._clock,
                self._turned,
                self._received,
            )
            self._links[instance] = link
            self._tasks[instance] = task = asyncio.create_task(link.run(), name=f"relay link {instance.address}")
            task.add_done_callback(lambda task: self._changed.set())
        gone = self._links.keys() - set(live)
        for instance in gone:
            del self._links[instance]
        tasks = [self._tasks.pop(instance) for instance in gone]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        # A link ends by itself only when it has failed.
        for task in self._tasks.values():
            if task.done():
                task.result()

    def flush(self) -> None:
        """Send what the subscriptions want sent."""
        for link, wanted in self._subscriptions.take_requests(self._route).items():
            assert isinstance(link, Link)  # noqa: S101 - what _route names
            link.send(wanted)

    def retry(self) -> None:
        """Once in a while: ask again for what was refused."""
        self._subscriptions.retry()
        self.flush()

    def signal(self, signal: Signal) -> None:
        """Hand an ephemeral event to the owner of its conversation."""
        if (link := self._route(signal.conversation_id)) is not None:
            link.signal(signal)

    def _route(self, conversation_id: str) -> Link | None:
        return self._ways.get(self._shards.partition_of(conversation_id))

    def _find_ways(self) -> None:
        links = {partition: self._links.get(claim.instance) for partition, claim in self._claims.items()}
        self._ways = {partition: link for partition, link in links.items() if link is not None and link.is_open}

    def _turned(self, link: Link) -> None:
        """A link has a stream again, or none any more."""
        self._find_ways()
        if link.is_open:
            self._ask({partition for partition, claim in self._claims.items() if claim.instance == link.instance})
            self._subscriptions.look_again()
            self.flush()

    def _received(self) -> None:
        if (count := self._subscriptions.regressions) > self._regressions:
            self._regressions = count
            log.error(
                "an owner knows less than was pushed: was its store restored from an old copy?", extra={"times": count}
            )
        self.flush()

    def _reroute(self) -> None:
        """Owners or the map may have changed."""
        claims, shards = self._coordination.claims(), self._coordination.shards
        if claims == self._claims and shards is self._shards:
            return
        changed = {partition for partition, claim in claims.items() if self._claims.get(partition) != claim}
        self._claims, self._shards = claims, shards
        self._find_ways()
        self._subscriptions.reroute(self._route)
        self._ask(changed)
        self.flush()

    def _ask(self, partitions: set[int]) -> None:
        """List to their owners what waits for an answer in these partitions: what is stored already is answered now (S9)."""
        if not partitions or not len(self._requests):
            return
        asked: dict[Link, list[Unanswered]] = {}
        for request in self._requests.unanswered():
            partition = self._shards.partition_of(request.conversation_id)
            if partition in partitions and (link := self._ways.get(partition)) is not None:
                asked.setdefault(link, []).append(request)
        for link, unanswered in asked.items():
            link.ask(unanswered)
