"""The users service as it is met: a real server on a loopback port behind the real call chain, and time that tests move."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from stonechat.users.v1 import directory_service_pb2
from stonechat.users.v1 import user_service_pb2 as pb
from stonechat.users.v1.directory_service_pb2_grpc import DirectoryServiceStub
from stonechat.users.v1.user_service_pb2_grpc import UserServiceStub
from svc.kernel.calls import INNER_TOKEN_KEY, Access, CallChain, handlers
from svc.kernel.channels import translate
from svc.kernel.identity import Identity, TokenVerifier
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.registry import PUBLIC_METHODS
from svc.kernel.settings import Settings, for_tests
from svc.kernel.shards import FixedShards, ShardMap
from svc.users.wiring import UsersService, open_users
from tests.fakes import FakeClock, MemoryLog
from tests.tables import command, parsed

INNER_TOKEN = "inner"
DIRECTORY = directory_service_pb2.DESCRIPTOR.services_by_name["DirectoryService"]
PASSWORD = "correct horse"


@dataclass
class Surface:
    """A client's end, and a look at the log."""

    settings: Settings
    channel: grpc.aio.Channel
    clock: FakeClock
    log: MemoryLog
    service: UsersService
    verifier: TokenVerifier
    names: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    async def call(self, method: str, request: object, token: str = "") -> Any:
        """Call UserService. Raises the error that the answer tells of."""
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        return await _call(getattr(UserServiceStub(self.channel), method), request, metadata)

    async def inner(self, method: str, request: object, token: str = INNER_TOKEN) -> Any:
        """Call DirectoryService, as another service does."""
        metadata = ((INNER_TOKEN_KEY, token),)
        return await _call(getattr(DirectoryServiceStub(self.channel), method), request, metadata)

    async def raw(self, method: str, request: bytes) -> None:
        """Call UserService with bytes as they are."""
        await _call(self.channel.unary_unary(f"/stonechat.users.v1.UserService/{method}"), request, ())

    async def register(self, username: str = "", password: str = PASSWORD, **fields: str) -> str:
        """A new user's id."""
        username = username or f"somebody{next(self.names)}"
        request = pb.RegisterRequest(username=username, password=password, **fields)
        return str((await self.call("Register", request)).user_id)

    async def sign_in(self, username: str, password: str = PASSWORD, device_name: str = "") -> pb.SignInResponse:
        request = pb.SignInRequest(username=username, password=password, device_name=device_name)
        response = await self.call("SignIn", request)
        assert isinstance(response, pb.SignInResponse)
        return response

    async def refresh(self, token: str) -> pb.RefreshTokenResponse:
        response = await self.call("RefreshToken", pb.RefreshTokenRequest(refresh_token=token))
        assert isinstance(response, pb.RefreshTokenResponse)
        return response

    async def somebody(self) -> pb.SignInResponse:
        """A new user, signed in on one device."""
        username = f"somebody{next(self.names)}"
        await self.register(username)
        return await self.sign_in(username)

    async def active(self, signed_in: pb.SignInResponse) -> bool:
        request = directory_service_pb2.CheckDeviceRequest(user_id=signed_in.user_id, device_id=signed_in.device_id)
        return bool((await self.inner("CheckDevice", request)).active)

    async def identity(self, access_token: str) -> Identity:
        """Whom an access token proves, as every service checks it."""
        return await self.verifier.verify(access_token)

    async def kept(self) -> bytes:
        """Everything that is kept, as bytes on the disk or in the rows of all tables."""
        if not self.settings.mysql:
            return await asyncio.to_thread(self._files)
        name = parsed(self.settings.mysql).name
        rows: list[object] = []
        for (table,) in await command(self.settings.mysql, f"SHOW TABLES IN {name}"):
            rows += await command(self.settings.mysql, f"SELECT * FROM {name}.{table}")
        return repr(rows).encode()

    def _files(self) -> bytes:
        return b"".join(file.read_bytes() for file in self.settings.data_dir.glob("users.sqlite*"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another process holds the database."""
        with closing(sqlite3.connect(self.settings.data_dir / "users.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield


async def _call(method: Any, request: object, metadata: Sequence[tuple[str, str]]) -> Any:
    try:
        return await method(request, timeout=10, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        raise translate(error) from error


@asynccontextmanager
async def open_surface(folder: Path, clock: FakeClock, log: MemoryLog, **overrides: Any) -> AsyncIterator[Surface]:
    """Serve users from a folder, or where `mysql` says, as a process would."""
    settings: Settings = for_tests(folder, **overrides)
    async with open_users(settings, clock, log, FixedShards(ShardMap.initial(5)), RateLimiter(clock)) as service:
        verifier = TokenVerifier(service.jwks, clock)
        inner = frozenset(f"/{DIRECTORY.full_name}/{method.name}" for method in DIRECTORY.methods)
        access = Access(PUBLIC_METHODS, inner, INNER_TOKEN)
        chain = CallChain(verifier, access, RateLimiter(clock), Rate(1e6, 1e6), clock)
        async with (
            _served(chain, service.services) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            yield Surface(settings, channel, clock, log, service, verifier)


@asynccontextmanager
async def _served(chain: CallChain, services: Sequence[tuple[ServiceDescriptor, object]]) -> AsyncIterator[str]:
    server = grpc.aio.server(handlers=[handlers(chain, *service) for service in services])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)
