"""What Envoy should know: one immutable, consistent set of resources, and the place that holds the newest one."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

_TYPES = "type.googleapis.com/envoy.config."
CLUSTER = f"{_TYPES}cluster.v3.Cluster"
ENDPOINTS = f"{_TYPES}endpoint.v3.ClusterLoadAssignment"
LISTENER = f"{_TYPES}listener.v3.Listener"
ROUTES = f"{_TYPES}route.v3.RouteConfiguration"

PUSH_ORDER = (CLUSTER, ENDPOINTS, LISTENER, ROUTES)
"""What is referred to comes before what refers to it (Envoy docs, xds_protocol: eventual consistency considerations)."""

Key = tuple[str, str]
"""Type URL and name."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource, encoded. The version is drawn from the bytes, so that a restarted control plane, which makes the same
    bytes, has nothing to say to an Envoy that kept running."""

    type_url: str
    name: str
    version: str
    body: bytes
    needs: frozenset[Key]


def resource(type_url: str, name: str, body: bytes, needs: Iterable[Key] = ()) -> Resource:
    """A resource; `needs` are the resources it refers to."""
    return Resource(type_url, name, hashlib.sha256(body).hexdigest()[:16], body, frozenset(needs))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All resources at one moment, by type URL and name."""

    resources: Mapping[str, Mapping[str, Resource]]

    def of(self, type_url: str) -> Mapping[str, Resource]:
        """Those of one type, by name; none for a type we do not serve."""
        return self.resources.get(type_url, {})


def snapshot(resources: Iterable[Resource]) -> Snapshot:
    """A snapshot. Raises ValueError when a name stands twice or a resource needs one that is not there."""
    by_type: dict[str, dict[str, Resource]] = {}
    needed: dict[Key, str] = {}
    for each in resources:
        if each.name in by_type.setdefault(each.type_url, {}):
            raise ValueError(f"two resources {each.name} of {each.type_url}")
        by_type[each.type_url][each.name] = each
        needed |= dict.fromkeys(each.needs, each.name)
    for (type_url, name), by in needed.items():
        if name not in by_type.get(type_url, {}):
            raise ValueError(f"{by} needs {name} of {type_url}, which is missing")
    return Snapshot(MappingProxyType(by_type))


class Configuration:
    """The newest snapshot. Readers wait for one they have not seen; those in between are skipped."""

    def __init__(self, first: Snapshot) -> None:
        self.current = first
        self._replaced = asyncio.Event()

    def replace(self, newer: Snapshot) -> None:
        """Make this the newest snapshot."""
        self.current = newer
        self._replaced.set()
        self._replaced = asyncio.Event()

    async def other_than(self, seen: Snapshot) -> Snapshot:
        """The newest snapshot, once it is another one than `seen`."""
        while self.current is seen:
            await self._replaced.wait()
        return self.current
