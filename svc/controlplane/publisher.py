"""From the registry to the newest snapshot: what is constant is made once, endpoints anew when instances come and go."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from svc.controlplane.model import host_port
from svc.controlplane.snapshot import Configuration, Resource, Snapshot, snapshot
from svc.kernel.registry import Instance, Registry

log = logging.getLogger(__name__)

Addresses = tuple[str, ...]
EndpointsOf = Callable[[str, Addresses], Resource]
"""Makes the endpoints of a cluster; slow, so it is called once for each change."""


class Publisher:
    """Keeps `configuration` equal to the registry."""

    def __init__(
        self, registry: Registry, clusters: Sequence[str], constant: Sequence[Resource], endpoints_of: EndpointsOf
    ) -> None:
        self._registry = registry
        self._clusters = clusters
        self._constant = constant
        self._endpoints_of = endpoints_of
        self._made: dict[str, tuple[Addresses, Resource]] = {}
        self.configuration = Configuration(self._snapshot())

    async def run(self) -> None:
        """Publish each change of the registry, until cancelled. Changes that come at once are published as one."""
        changed = asyncio.Event()
        forget = self._registry.watch(changed.set)
        try:
            changed.set()  # what happened before we watched
            while True:
                await changed.wait()
                changed.clear()
                # In a thread: a thousand endpoints take 0.2 s to encode, and sessions may share this event loop.
                newer = await asyncio.to_thread(self._snapshot)
                if newer != self.configuration.current:
                    self.configuration.replace(newer)
        finally:
            forget()

    def _snapshot(self) -> Snapshot:
        up = self._registry.snapshot()
        endpoints = [self._endpoints(cluster, up.get(cluster, ())) for cluster in self._clusters]
        return snapshot([*self._constant, *endpoints])

    def _endpoints(self, cluster: str, instances: tuple[Instance, ...]) -> Resource:
        addresses = tuple(dict.fromkeys(each.address for each in instances if _is_address(cluster, each.address)))
        made = self._made.get(cluster)
        if made is None or made[0] != addresses:
            made = self._made[cluster] = (addresses, self._endpoints_of(cluster, addresses))
        return made[1]


def _is_address(cluster: str, address: str) -> bool:
    try:
        host_port(address)
    except ValueError as error:
        # One bad entry in the registry must not keep the others from being known.
        log.error("an instance of %s registered an address that is none: %s", cluster, error)
        return False
    return True
