"""A server under test, and users of it with their devices."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance.device import Device
from stonechat_conformance.patience import Patience, call
from stonechat_conformance.surfaces.model import Network, Surface
from stonechat_conformance.surfaces.table import SURFACES, network

PASSWORD = "correct horse"  # noqa: S105 - of throw-away users
T = TypeVar("T")


class Server:
    """A server under test, and what the cases of one run share on it."""

    def __init__(self, url: str, stack: AsyncExitStack, patience: Patience, authority: Path | None = None) -> None:
        self.url = url
        self.authority = authority
        self.patience = patience
        self.prefix = f"t{secrets.token_hex(3)}"
        self._stack = stack
        self._numbers = itertools.count(1)
        self._made: dict[object, asyncio.Task[Any]] = {}
        self.guests: list[People] = []

    def username(self) -> str:
        """A name that nobody has."""
        return f"{self.prefix}.{next(self._numbers)}"

    async def lasting(self, surface: str) -> "People":
        """People that stay for the whole run."""
        self.guests.append(await self._stack.enter_async_context(people(self, surface)))
        return self.guests[-1]

    async def once(self, what: object, make: Callable[[], Awaitable[T]]) -> T:
        """What `make` makes, the same for all who ask for `what`; how it fails, too."""
        if what not in self._made:
            self._made[what] = asyncio.ensure_future(make())
        # A case that gives up waiting leaves it for the next one.
        return cast(T, await asyncio.shield(self._made[what]))

    async def close(self) -> None:
        """Stop what is still being made."""
        for task in self._made.values():
            task.cancel()
        await asyncio.gather(*self._made.values(), return_exceptions=True)


@asynccontextmanager
async def server(url: str, patience: Patience, authority: Path | None = None) -> AsyncIterator[Server]:
    """A server for one run. `authority`: see `network`."""
    async with AsyncExitStack() as stack:
        found = Server(url, stack, patience, authority)
        stack.push_async_callback(found.close)
        yield found


class People:
    """Registers users and signs them in, on one surface unless another is named."""

    def __init__(self, server: Server, surface: str, network: Network, stack: AsyncExitStack) -> None:
        self.server = server
        self.network = network
        self.devices: list[Device] = []
        self.users: set[str] = set()
        self.name = surface
        self._stack = stack

    @property
    def url(self) -> str:
        """Of the server."""
        return self.server.url

    def surface(self, name: str = "") -> Surface:
        """A surface by name."""
        return SURFACES[name or self.name](self.network)

    async def register(self) -> str:
        """A new user; returns the username."""
        request = users.RegisterRequest(username=self.server.username(), password=PASSWORD)
        answer: users.RegisterResponse = await call(self.surface(), request, "", self.server.patience)
        self.users.add(answer.user_id)
        return request.username

    async def sign_in(self, username: str, surface: str = "") -> Device:
        """A new device, that does not listen yet."""
        found = self.surface(surface)
        request = users.SignInRequest(username=username, password=PASSWORD, device_name=surface or self.name)
        device = Device(found, await call(found, request, "", self.server.patience), self.server.patience)
        self._stack.push_async_callback(device.stop)
        self.devices.append(device)
        return device

    async def device(self, surface: str = "", username: str = "") -> Device:
        """A device that listens, of a new user when none is named."""
        device = await self.sign_in(username or await self.register(), surface)
        return await device.listen()

    async def two(self, surface: str = "") -> tuple[Device, Device]:
        """Two users on one surface, each with a device that listens."""
        return await self.device(surface), await self.device(surface)


@asynccontextmanager
async def people(server: Server, surface: str = "connect") -> AsyncIterator[People]:
    """People with connections of their own; all their devices are taken down in the end."""
    async with network(server.url, server.authority) as connections, AsyncExitStack() as stack:
        yield People(server, surface, connections, stack)


def direct(one: Device, other: Device) -> str:
    """The direct conversation of two users."""
    low, high = sorted((one.user_id, other.user_id), key=lambda user: int(user[1:]))
    return f"d.{low}.{high}"
