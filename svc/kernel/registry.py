"""Which services there are, and which instances of them are up.

SERVICES is the table that the process, the channels, the control plane and the tests go by.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Service:
    """One row of the table. `grpc_services` are full names; those in `inner` are never routed by the edge."""

    name: str
    grpc_services: tuple[str, ...]
    inner: tuple[str, ...] = ()


SERVICES: tuple[Service, ...] = (
    Service("messaging", ("stonechat.messaging.v1.MessagingService",)),
    Service("delivery", (), inner=("stonechat.delivery.v1.DeliveryService",)),
    Service("history", ("stonechat.history.v1.HistoryService",)),
    Service("users", ("stonechat.users.v1.UserService",), inner=("stonechat.users.v1.DirectoryService",)),
    Service("groups", ("stonechat.groups.v1.GroupService",), inner=("stonechat.groups.v1.MembershipService",)),
)

# Calls that need no access token: how one gets a token, and what the edge needs before anybody has one.
PUBLIC_METHODS = frozenset(
    {
        "/stonechat.users.v1.UserService/Register",
        "/stonechat.users.v1.UserService/SignIn",
        "/stonechat.users.v1.UserService/RefreshToken",
        "/stonechat.users.v1.UserService/GetJwks",
    }
)


@dataclass(frozen=True, slots=True)
class Instance:
    """One running instance: `address` is host:port of its gRPC server, `boot_id` names this run of its process."""

    address: str
    boot_id: str


Snapshot = dict[str, tuple[Instance, ...]]
"""Service name → its instances, in a stable order."""


class Registry(Protocol):
    """Who is up. Instances vanish when they deregister or their process dies."""

    async def register(self, service: str, instance: Instance) -> None:
        """Say that an instance is up."""
        ...

    async def deregister(self, service: str, instance: Instance) -> None:
        """Say that it no longer is. Unknown ones are ignored."""
        ...

    def instances(self, service: str) -> tuple[Instance, ...]:
        """Those that are up, as far as known."""
        ...

    def snapshot(self) -> Snapshot:
        """All of them."""
        ...

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` on the event loop after each change; returns what ends the watch."""
        ...


class ProcessRegistry:
    """The registry of a single process: a dict."""

    def __init__(self) -> None:
        self._instances: Snapshot = {}
        self._watchers: list[Callable[[], None]] = []

    async def register(self, service: str, instance: Instance) -> None:
        others = tuple(known for known in self.instances(service) if known != instance)
        self._replace(service, (*others, instance))

    async def deregister(self, service: str, instance: Instance) -> None:
        self._replace(service, tuple(known for known in self.instances(service) if known != instance))

    def instances(self, service: str) -> tuple[Instance, ...]:
        return self._instances.get(service, ())

    def snapshot(self) -> Snapshot:
        return dict(self._instances)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def _replace(self, service: str, instances: tuple[Instance, ...]) -> None:
        self._instances[service] = tuple(sorted(instances, key=lambda instance: (instance.address, instance.boot_id)))
        loop = asyncio.get_running_loop()
        for watcher in self._watchers:
            loop.call_soon(watcher)
