"""A session with ZooKeeper: kazoo in threads of its own, bridged to the event loop.

Paths are below the installation's own (`Address.name`). What was asked for while there is no connection is sent when there is
one again, so after a deadline the outcome is unknown. A session that the ensemble has ended is followed by another; what was
ephemeral is gone then, and who made it makes it again: `sessions` counts them.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KazooState, WatchedEvent
from kazoo.retry import KazooRetry
from kazoo.security import make_digest_acl

from svc.kernel.addresses import Address
from svc.kernel.clock import Backoff
from svc.kernel.errors import StartError, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

SESSION_SECONDS = 4.0
"""How long the ensemble waits for a process that is silent: its claims end so long after it died. No less: a pause of a
garbage collector or a virtual machine must not cost them. ZooKeeper's own minimum at its default tick is the same."""
CALL_SECONDS = 5.0
_START_SECONDS = 10.0
_QUIET = 100  # above CRITICAL: what kazoo says, the transitions here say


class ZooKeeper:
    """Calls raise kazoo's NoNodeError, NodeExistsError and BadVersionError, and Unavailable for everything else. `sessions`
    grows with each session."""

    def __init__(self, client: KazooClient, path: str) -> None:
        self._client = client
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._watchers: list[Callable[[], None]] = []
        self._session: int | None = None
        self._connected = False
        self.sessions = 0
        client.add_listener(lambda state: self._loop.call_soon_threadsafe(self._changed, state))
        self._changed(client.state)

    @property
    def session_id(self) -> int:
        """The id of the newest session: what an ephemeral node's owner is compared with."""
        return self._session or 0

    @property
    def has_session(self) -> bool:
        """False from the moment that the ensemble says the session has ended, until there is another."""
        return self._session is not None

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` when the session is lost, when there is another, and when a connection is back."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    async def create(self, path: str, value: bytes, ephemeral: bool = False) -> int:
        """Make a node, and the folders above it; returns the id of the transaction that made it."""
        _, stat = await self._call(
            lambda: self._client.create_async(
                self._path + path, value, ephemeral=ephemeral, makepath=True, include_data=True
            )
        )
        return int(stat.czxid)

    async def read(self, path: str, changed: Callable[[], None] | None = None) -> tuple[bytes, Any]:
        """A node's value and stat; `changed` is called once, on the loop, when it changes or goes."""
        value, stat = await self._call(lambda: self._client.get_async(self._path + path, watch=self._once(changed)))
        return value, stat

    async def write(self, path: str, value: bytes, version: int = -1) -> int:
        """Replace a node's value; returns the new version. Raises BadVersionError unless it has this version."""
        stat = await self._call(lambda: self._client.set_async(self._path + path, value, version))
        return int(stat.version)

    async def delete(self, path: str) -> None:
        """Remove a node."""
        await self._call(lambda: self._client.delete_async(self._path + path))

    async def children(self, path: str, changed: Callable[[], None] | None = None) -> list[str]:
        """Names below a node that exists; `changed` is called once, on the loop, when one comes or goes."""
        found = await self._call(
            lambda: self._client.get_children_async(self._path + path, watch=self._once(changed))
        )  # fmt: skip
        return sorted(found)

    async def sync(self, path: str) -> None:
        """Let the server that we are connected to catch up with the ensemble."""
        await self._call(lambda: self._client.sync_async(self._path + path))

    async def ping(self) -> None:
        """Raises Unavailable when it does not answer."""
        await self._call(lambda: self._client.exists_async(self._path))

    async def make_folder(self, path: str) -> None:
        """A node that only holds others; one that exists is left."""
        with suppress(NodeExistsError):
            await self.create(path, b"")

    def _once(self, changed: Callable[[], None] | None) -> Callable[[WatchedEvent], None] | None:
        if changed is None:
            return None

        def told(event: WatchedEvent) -> None:
            self._loop.call_soon_threadsafe(changed)

        return told

    async def _call(self, start: Callable[[], Any]) -> Any:
        future: asyncio.Future[Any] = self._loop.create_future()

        def settle(result: Any) -> None:
            if future.done():
                return
            if result.exception is None:
                future.set_result(result.value)
            else:
                future.set_exception(result.exception)

        try:
            start().rawlink(lambda result: self._loop.call_soon_threadsafe(settle, result))
            async with asyncio.timeout(CALL_SECONDS):
                return await future
        except (BadVersionError, NoNodeError, NodeExistsError):
            raise
        except TimeoutError:
            raise Unavailable("ZooKeeper does not answer in time") from None
        except KazooException as error:
            raise Unavailable(f"ZooKeeper cannot answer: {type(error).__name__}") from error

    def _changed(self, state: str) -> None:
        connected = state == KazooState.CONNECTED
        if connected and self._client.client_id is not None and self._session != self._client.client_id[0]:
            self._session = self._client.client_id[0]
            self.sessions += 1
        if state == KazooState.LOST:
            self._session = None
        if connected != self._connected:
            self._connected = connected
            if connected:
                log.info("connected to ZooKeeper", extra={"session": f"{self._session:x}"})
            else:
                log.warning("the connection to ZooKeeper is gone: what was agreed holds until it is back")
        for watcher in list(self._watchers):
            watcher()


@asynccontextmanager
async def open_zookeeper(address: Address) -> AsyncIterator[ZooKeeper]:
    """A session for as long as the block lasts; when it ends, so does all that is ephemeral. Raises StartError."""
    quiet = logging.getLogger("kazoo")
    quiet.setLevel(_QUIET)
    secret = f"{address.user}:{address.password}"
    client = KazooClient(
        hosts=",".join(address.host_ports()),
        timeout=SESSION_SECONDS,
        connection_retry=KazooRetry(max_tries=-1, delay=0.1, backoff=2, max_delay=2.0, max_jitter=1.0),
        auth_data=[("digest", secret)] if address.user else None,
        default_acl=[make_digest_acl(address.user, address.password, all=True)] if address.user else None,
        use_ssl=address.tls() is not None,
        ca=address.options.get("ca"),
        certfile=address.options.get("cert"),
        keyfile=address.options.get("key"),
        logger=quiet,
    )
    try:
        await asyncio.to_thread(client.start, _START_SECONDS)
    except (KazooTimeoutError, KazooException, OSError) as error:
        await asyncio.to_thread(_end, client)
        raise StartError(
            f"ZooKeeper at {', '.join(address.host_ports())} does not answer ({error}):"
            " start it, or correct STONECHAT_ZOOKEEPER"
        ) from error
    try:
        zookeeper = ZooKeeper(client, f"/{address.name}")
        await zookeeper.make_folder("")
        yield zookeeper
    finally:
        await asyncio.to_thread(_end, client)


def _end(client: KazooClient) -> None:
    client.stop()
    client.close()


async def follow(zookeeper: ZooKeeper, look: Callable[[Callable[[], None]], Awaitable[None]], what: str) -> None:
    """Call `look` now and after each change, until cancelled; it is given what to set its watches to. While ZooKeeper cannot
    answer it is repeated with full jitter, and after a new session or connection always."""
    changed, backoff = asyncio.Event(), Backoff(base=0.1, cap=2.0)
    forget = zookeeper.watch(changed.set)
    try:
        while True:
            changed.clear()
            try:
                await look(changed.set)
            except (Unavailable, NoNodeError) as error:
                if backoff.attempts == 0:
                    log.warning("cannot follow %s: what was seen last holds", what, extra={"error": str(error)})
                await asyncio.sleep(backoff.next_delay())
                continue
            if backoff.attempts:
                log.info("following %s again", what)
                backoff.reset()
            await changed.wait()
    finally:
        forget()
