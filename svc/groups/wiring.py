"""How the groups service is put together."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from google.protobuf.descriptor import ServiceDescriptor

from stonechat.groups.v1 import group_service_pb2, membership_service_pb2
from svc.backends.outbox import Outbox
from svc.backends.sql import open_sql
from svc.backends.sql_schema import Schema
from svc.groups.adapters.sql import OUTBOX, SCHEMA, SqlGroups
from svc.groups.adapters.users import UsersService
from svc.groups.groups import Groups
from svc.groups.servicer import GroupServicer, MembershipServicer
from svc.kernel.channels import Channels
from svc.kernel.clock import Clock
from svc.kernel.eventlog import EventLog
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.lifecycle import Failed, owned
from svc.kernel.readiness import Ping
from svc.kernel.settings import Settings
from svc.kernel.shards import Shards

__all__ = ["SCHEMA", "GroupsService", "open_groups"]

_GROUPS = group_service_pb2.DESCRIPTOR.services_by_name["GroupService"]
_MEMBERSHIP = membership_service_pb2.DESCRIPTOR.services_by_name["MembershipService"]


@dataclass(frozen=True, slots=True)
class GroupsService:
    """The service while it is open. `services` are what `svc.kernel.calls.handlers` mounts; `ping` asks whether its
    tables answer."""

    services: Sequence[tuple[ServiceDescriptor, object]]
    ping: Ping


def tables() -> Schema:
    """What the service keeps in a database that it may share."""
    return SCHEMA


@asynccontextmanager
async def open_groups(
    settings: Settings,
    clock: Clock,
    log: EventLog,
    shards: Shards,
    channels: Channels,
    failed: Failed | None = None,
) -> AsyncIterator[GroupsService]:
    """Serve groups from MySQL, or a file in the data folder, which must be there, and send their changes to the log.

    What the log has not taken when the block ends is sent when the tables are opened again. Raises StartError.
    """
    ids = SnowflakeGenerator(clock)
    async with open_sql(settings.mysql_address() or settings.data_dir / "groups.sqlite", SCHEMA) as sql:
        outbox = Outbox(sql, OUTBOX, log, shards, clock)
        store = SqlGroups(sql, outbox, ids)
        groups = Groups(store, UsersService(channels), ids, clock, settings.group_max_members)
        async with owned(outbox.run(), "outbox of groups", failed):
            services = [(_GROUPS, GroupServicer(groups)), (_MEMBERSHIP, MembershipServicer(groups))]
            yield GroupsService(services, sql.ping)
