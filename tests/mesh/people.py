"""Users and their devices, as the tests of one product need them."""

import itertools
import secrets
from contextlib import AsyncExitStack

from stonechat.users.v1 import user_service_pb2 as users
from tests.mesh.device import Device
from tests.mesh.surfaces.model import Network, Surface
from tests.mesh.surfaces.native import GrpcUnary
from tests.mesh.surfaces.table import SURFACES, network

PASSWORD = "correct horse"


class People:
    """Registers users, signs them in, and takes all their devices down in the end."""

    _numbers = itertools.count(1)

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self._stack = stack
        self._run = secrets.token_hex(3)
        self.network: Network | None = None

    async def _connections(self) -> Network:
        if self.network is None:
            self.network = await self._stack.enter_async_context(network(self.url))
        return self.network

    async def surface(self, name: str) -> Surface:
        """A surface by name."""
        return SURFACES[name](await self._connections())

    async def register(self) -> str:
        """A new user; returns the username."""
        name = f"t{self._run}.{next(self._numbers)}"
        await GrpcUnary(await self._connections()).call(users.RegisterRequest(username=name, password=PASSWORD), "")
        return name

    async def sign_in(self, username: str, surface: str) -> Device:
        """A new device, that does not listen yet."""
        found = await self.surface(surface)
        session = await found.call(users.SignInRequest(username=username, password=PASSWORD, device_name=surface), "")
        assert isinstance(session, users.SignInResponse)
        device = Device(found, session)
        self._stack.push_async_callback(device.stop)
        return device

    async def device(self, surface: str, username: str = "") -> Device:
        """A device that listens, of a new user when none is named."""
        device = await self.sign_in(username or await self.register(), surface)
        return await device.listen()

    async def two(self, surface: str) -> tuple[Device, Device]:
        """Two users on one surface, each with a device that listens."""
        return await self.device(surface), await self.device(surface)


def direct(one: Device, other: Device) -> str:
    """The direct conversation of two users."""
    low, high = sorted((one.user_id, other.user_id), key=lambda user: int(user[1:]))
    return f"d.{low}.{high}"
