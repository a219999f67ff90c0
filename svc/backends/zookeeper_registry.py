"""The registry on ZooKeeper: an ephemeral node for each instance, `/services/<service>/<address>~<boot id>`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from kazoo.exceptions import NodeExistsError, NoNodeError

from svc.backends.zookeeper import ZooKeeper, follow
from svc.kernel.clock import Backoff
from svc.kernel.errors import Unavailable
from svc.kernel.lifecycle import Failed, owned
from svc.kernel.registry import Instance, Snapshot

log = logging.getLogger(__name__)


class ZooKeeperRegistry:
    """`svc.kernel.registry.Registry`. What it says of others may be older by the time that ZooKeeper needs to tell."""

    def __init__(self, zookeeper: ZooKeeper) -> None:
        self._zookeeper = zookeeper
        self._seen: Snapshot = {}
        self._own: dict[tuple[str, Instance], None] = {}
        self._watchers: list[Callable[[], None]] = []

    async def register(self, service: str, instance: Instance) -> None:
        """Say that an instance is up; said again with each new session. Raises Unavailable."""
        self._own[service, instance] = None
        await self._enter(service, instance)

    async def deregister(self, service: str, instance: Instance) -> None:
        """Say that it no longer is. What ZooKeeper cannot be told ends with the session."""
        self._own.pop((service, instance), None)
        try:
            await self._zookeeper.delete(_path(service, instance))
        except NoNodeError:
            pass
        except Unavailable as error:
            log.warning("could not deregister", extra={"service": service, "error": error.message})

    def instances(self, service: str) -> tuple[Instance, ...]:
        return self._seen.get(service, ())

    def snapshot(self) -> Snapshot:
        return dict(self._seen)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    async def follow(self, service: str) -> None:
        """Keep what is known of a service new, until cancelled."""

        async def look(changed: Callable[[], None]) -> None:
            self._see(service, await self._zookeeper.children(_folder(service), changed))

        await follow(self._zookeeper, look, f"the instances of {service}")

    async def look(self, service: str) -> None:
        """What is known of a service, once. Raises Unavailable."""
        await self._zookeeper.make_folder(_folder(service))
        self._see(service, await self._zookeeper.children(_folder(service)))

    async def keep(self) -> None:
        """Say what is up again with each new session, until cancelled."""
        changed, told = asyncio.Event(), self._zookeeper.sessions
        forget = self._zookeeper.watch(changed.set)
        backoff = Backoff(base=0.1, cap=2.0)
        try:
            while True:
                await changed.wait()
                changed.clear()
                session = self._zookeeper.sessions
                if session == told or not self._zookeeper.has_session:
                    continue
                try:
                    for service, instance in list(self._own):
                        await self._enter(service, instance)
                    told = session
                    backoff.reset()
                except Unavailable:
                    changed.set()
                    await asyncio.sleep(backoff.next_delay())
        finally:
            forget()

    async def _enter(self, service: str, instance: Instance) -> None:
        path = _path(service, instance)
        for _ in range(2):
            try:
                await self._zookeeper.create(path, b"", ephemeral=True)
                return
            except NodeExistsError:
                pass
            try:
                _, stat = await self._zookeeper.read(path)
                if stat.ephemeralOwner == self._zookeeper.session_id:
                    return
                await self._zookeeper.delete(path)  # of our session before this one: it would end with it
            except NoNodeError:
                pass
        raise Unavailable(f"could not register {service}")

    def _see(self, service: str, names: Iterable[str]) -> None:
        instances = tuple(sorted(map(_instance, names), key=lambda instance: (instance.address, instance.boot_id)))
        if instances == self._seen.get(service, ()):
            return
        self._seen[service] = instances
        for watcher in list(self._watchers):
            watcher()


@asynccontextmanager
async def open_registry(
    zookeeper: ZooKeeper, services: Iterable[str], failed: Failed | None = None
) -> AsyncIterator[ZooKeeperRegistry]:
    """The registry of these services, for as long as the block lasts; what is up already is known when it begins."""
    registry = ZooKeeperRegistry(zookeeper)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(owned(registry.keep(), "keep registered", failed))
        for service in services:
            await registry.look(service)
            await stack.enter_async_context(owned(registry.follow(service), f"follow {service}", failed))
        yield registry


def _folder(service: str) -> str:
    return f"/services/{service}"


def _path(service: str, instance: Instance) -> str:
    return f"{_folder(service)}/{instance.address}~{instance.boot_id}"


def _instance(name: str) -> Instance:
    address, _, boot_id = name.rpartition("~")
    return Instance(address, boot_id)
