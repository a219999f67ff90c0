"""How the users service is put together."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor

from stonechat.users.v1 import directory_service_pb2, user_service_pb2
from svc.backends.outbox import Outbox
from svc.backends.sql import open_sql
from svc.backends.sql_schema import Schema
from svc.kernel.clock import Clock
from svc.kernel.eventlog import EventLog
from svc.kernel.identity import KeySource
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.lifecycle import Failed, owned
from svc.kernel.limits import RateLimiter
from svc.kernel.readiness import Ping
from svc.kernel.settings import Settings
from svc.kernel.shards import Shards
from svc.users.accounts import Accounts
from svc.users.adapters.sql import OUTBOX, SCHEMA, SqlAccounts, SqlDevices, SqlKeys
from svc.users.devices import Devices
from svc.users.passwords import Passwords
from svc.users.refresh import RefreshTokens
from svc.users.servicer import DirectoryServicer, UserServicer
from svc.users.tokens import AccessTokens

__all__ = ["SCHEMA", "UsersService", "open_users"]

_USER_SERVICE = user_service_pb2.DESCRIPTOR.services_by_name["UserService"]
_DIRECTORY_SERVICE = directory_service_pb2.DESCRIPTOR.services_by_name["DirectoryService"]


@dataclass(frozen=True, slots=True)
class UsersService:
    """The service while it is open. `services` are what `svc.kernel.calls.handlers` mounts; `jwks` is where a
    `TokenVerifier` in the same process gets its keys, `ping` asks whether its tables answer."""

    services: Sequence[tuple[ServiceDescriptor, object]]
    jwks: KeySource
    ping: Ping


def tables() -> Schema:
    """What the service keeps in a database that it may share."""
    return SCHEMA


@asynccontextmanager
async def open_users(
    settings: Settings,
    clock: Clock,
    log: EventLog,
    shards: Shards,
    limiter: RateLimiter,
    failed: Failed | None = None,
) -> AsyncIterator[UsersService]:
    """Serve users from MySQL, or a file in the data folder, which must be there. The log is told of devices that sign out.

    What the log has not taken when the block ends is sent when the tables are opened again. Raises StartError.
    """
    ids = SnowflakeGenerator(clock)
    async with open_sql(settings.mysql_address() or settings.data_dir / "users.sqlite", SCHEMA) as sql:
        outbox = Outbox(sql, OUTBOX, log, shards, clock)
        keys = SqlKeys(sql)
        access = AccessTokens(keys, clock, settings.access_token_seconds)
        refresh = RefreshTokens(await keys.refresh_key(secrets.token_bytes(32)))
        with closing(Passwords(settings.password_cost)) as passwords:
            accounts = Accounts(SqlAccounts(sql), passwords, limiter, ids, clock)
            devices = Devices(SqlDevices(sql, outbox, ids), accounts, access, refresh, ids, clock)
            async with owned(outbox.run(), "outbox of users", failed):
                yield UsersService(
                    [
                        (_USER_SERVICE, UserServicer(accounts, devices, access)),
                        (_DIRECTORY_SERVICE, DirectoryServicer(accounts, devices)),
                    ],
                    access.jwks,
                    sql.ping,
                )
