"""The service as clients meet it: a real server on a loopback port, the real call chain, and an accounts service beside it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.descriptor import ServiceDescriptor

from stonechat.groups.v1.group_service_pb2_grpc import GroupServiceStub
from stonechat.users.v1 import directory_service_pb2 as directory
from svc.backends.sqlite_log import open_event_log
from svc.groups.wiring import open_groups
from svc.kernel.calls import Access, Call, CallChain, handlers
from svc.kernel.channels import Channels, translate
from svc.kernel.clock import SystemClock
from svc.kernel.eventlog import ACCEPTED, EventLog
from svc.kernel.identity import ALGORITHM, AUDIENCE, ISSUER, TokenVerifier
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.record import Record, decode
from svc.kernel.registry import PUBLIC_METHODS, Instance, ProcessRegistry
from svc.kernel.settings import for_tests
from svc.kernel.shards import FixedShards, ShardMap
from tests.groups.world import USERS

INNER_TOKEN = "inner"
DIRECTORY = directory.DESCRIPTOR.services_by_name["DirectoryService"]
KEY = Ed25519PrivateKey.generate()


class Accounts:
    """`DirectoryService`, with a fixed set of accounts."""

    async def CheckUsers(self, request: directory.CheckUsersRequest, call: Call) -> directory.CheckUsersResponse:
        return directory.CheckUsersResponse(user_ids=[user for user in request.user_ids if user in USERS])

    async def CheckDevice(self, request: directory.CheckDeviceRequest, call: Call) -> directory.CheckDeviceResponse:
        return directory.CheckDeviceResponse(active=True)

    async def CheckDevices(self, request: directory.CheckDevicesRequest, call: Call) -> directory.CheckDevicesResponse:
        return directory.CheckDevicesResponse(active=[True] * len(request.devices))


@dataclass(frozen=True)
class Surface:
    """A client's end, and a look at the log."""

    stub: GroupServiceStub
    log: EventLog
    registry: ProcessRegistry

    async def call(self, user_id: str, method: str, request: object) -> Any:
        """Call as a user. Raises the error that the answer tells of, details included."""
        try:
            metadata = (("authorization", f"Bearer {token(user_id)}"),) if user_id else ()
            return await getattr(self.stub, method)(request, timeout=10, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error

    async def without_accounts(self) -> None:
        """From now on no instance of the users service is up."""
        for instance in self.registry.instances("users"):
            await self.registry.deregister("users", instance)

    async def sent(self, count: int) -> list[Record]:
        """Wait until so many records are in the log; those of a group are in order."""
        consumer = await self.log.consume(ACCEPTED, dict.fromkeys(range(5), 0))
        found: list[Record] = []
        async with asyncio.timeout(10):
            while len(found) < count:
                found += [decode(entry.value) for entry in await consumer.fetch(count - len(found))]
        await consumer.close()
        return found


@asynccontextmanager
async def open_surface(folder: Path, mysql: str) -> AsyncIterator[Surface]:
    """Serve groups from a folder, or where `mysql` says, as a process would."""
    clock, registry = SystemClock(), ProcessRegistry()
    channels = Channels(registry, INNER_TOKEN)
    settings = for_tests(folder, group_max_members=10, mysql=mysql)
    chain = CallChain(
        TokenVerifier(_jwks, clock),
        Access(PUBLIC_METHODS, frozenset(f"/{DIRECTORY.full_name}/{m.name}" for m in DIRECTORY.methods), INNER_TOKEN),
        RateLimiter(clock),
        Rate(1000, 1000),
        clock,
    )
    async with (
        open_event_log(folder / "log.sqlite", clock) as log,
        open_groups(settings, clock, log, FixedShards(ShardMap.initial(5)), channels) as groups,
        _served(chain, [*groups.services, (DIRECTORY, Accounts())]) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        await registry.register("users", Instance(address, "boot"))
        try:
            yield Surface(GroupServiceStub(channel), log, registry)
        finally:
            await channels.close()


@asynccontextmanager
async def _served(chain: CallChain, services: Sequence[tuple[ServiceDescriptor, object]]) -> AsyncIterator[str]:
    server = grpc.aio.server(handlers=[handlers(chain, *service) for service in services])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)


def token(user_id: str) -> str:
    """An access token as the users service signs them."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user_id, "device": "device", "iat": now, "exp": now + 600}
    return jwt.encode(claims, KEY, algorithm=ALGORITHM, headers={"kid": "test"})


async def _jwks() -> str:
    key = jwt.algorithms.OKPAlgorithm.to_jwk(KEY.public_key(), as_dict=True)
    return json.dumps({"keys": [key | {"kid": "test", "alg": ALGORITHM}]})
