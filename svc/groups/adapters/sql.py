"""Groups in tables. The row of a group is its lock: whoever changes the group holds it until the transaction ends."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    Integer,
    MetaData,
    Row,
    SmallInteger,
    Table,
    UniqueConstraint,
    and_,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from svc.backends.outbox import Outbox, OutboxTables
from svc.backends.sql import Schema, Sql
from svc.backends.sql_columns import fixed_bytes, free_text, key_text
from svc.groups import wire
from svc.groups.model import Change, Founding, Group, Member, Membership, Role
from svc.kernel.ids import SnowflakeGenerator

SCHEMA = Schema("groups", 2, Path(__file__).parent / "versions")
METADATA = MetaData()
OUTBOX = OutboxTables.of("groups_outbox", METADATA)
# A caller that is told of a change and then sends to the group finds the change before its message in the log.
_SETTLE_SECONDS = 2.0

# Not `groups`: a reserved word of MySQL 8.
GROUPS = Table(
    "chat_groups",
    METADATA,
    Column("group_id", key_text(20), primary_key=True),
    Column("name", free_text(100), nullable=False),
    Column("member_count", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("creator_id", key_text(20), nullable=False),
    # NULL when the client gave none: NULLs are never the same in a unique constraint.
    Column("client_request_id", key_text(64)),
    Column("request_digest", fixed_bytes(32), nullable=False),
    UniqueConstraint("creator_id", "client_request_id", name="chat_groups_by_request"),
)

MEMBERS = Table(
    "group_members",
    METADATA,
    Column("group_id", key_text(20), primary_key=True),
    Column("user_id", key_text(20), primary_key=True),
    Column("role", SmallInteger, nullable=False),
    # Who serves longest is told by this, not by a clock.
    Column("joined_version", BigInteger, nullable=False),
    Index("group_members_by_service", "group_id", "role", "joined_version", "user_id"),
)


class SqlGroups:
    """Serves `GroupStore`."""

    def __init__(self, sql: Sql, outbox: Outbox, ids: SnowflakeGenerator) -> None:
        self._sql = sql
        self._outbox = outbox
        self._ids = ids

    async def founding(self, creator_id: str, client_request_id: str) -> Founding | None:
        query = select(GROUPS.c.request_digest, GROUPS.c.group_id).where(
            GROUPS.c.creator_id == creator_id, GROUPS.c.client_request_id == client_request_id
        )
        async with self._sql.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else Founding(creator_id, client_request_id, row.request_digest, row.group_id)

    async def found(self, founding: Founding, group: Group, change: Change) -> Founding:
        try:
            async with self._sql.write() as connection:
                await connection.execute(
                    insert(GROUPS).values(
                        group_id=group.group_id,
                        name=group.name,
                        member_count=group.member_count,
                        version=group.version,
                        created_us=group.created_us,
                        creator_id=founding.creator_id,
                        client_request_id=founding.client_request_id or None,
                        request_digest=founding.digest,
                    )
                )
                await _join(connection, change)
                await self._send(connection, change)
        except IntegrityError:
            standing = await self.founding(founding.creator_id, founding.client_request_id)
            if standing is None:
                raise
            return standing
        await self._outbox.settled(group.group_id, _SETTLE_SECONDS)
        return founding

    async def membership(self, group_id: str, user_id: str) -> Membership | None:
        query = (
            select(GROUPS, MEMBERS.c.role)
            .join(MEMBERS, GROUPS.c.group_id == MEMBERS.c.group_id)
            .where(GROUPS.c.group_id == group_id, MEMBERS.c.user_id == user_id)
        )
        async with self._sql.read() as connection:
            row = (await connection.execute(query)).one_or_none()
        return None if row is None else Membership(_group(row), Role(row.role))

    @asynccontextmanager
    async def locked(self, group_id: str, user_id: str) -> AsyncIterator["LockedRows | None"]:
        # The lock is the first statement: what is read after it is read after everybody who held the lock before.
        query = select(GROUPS).where(GROUPS.c.group_id == group_id).with_for_update()
        async with self._sql.write() as connection:
            row = (await connection.execute(query)).one_or_none()
            caller = None if row is None else (await _members(connection, group_id, [user_id])).get(user_id)
            if row is None or caller is None:
                yield None
            else:
                yield LockedRows(connection, self._send, _group(row), caller)
        await self._outbox.settled(group_id, _SETTLE_SECONDS)

    async def members(self, group_id: str, after: str, limit: int) -> Sequence[Member]:
        query = (
            select(MEMBERS.c.user_id, MEMBERS.c.role)
            .where(MEMBERS.c.group_id == group_id, MEMBERS.c.user_id > after)
            .order_by(MEMBERS.c.user_id)
            .limit(limit)
        )
        async with self._sql.read() as connection:
            return [_member(row) for row in await connection.execute(query)]

    async def _send(self, connection: AsyncConnection, change: Change) -> None:
        await self._outbox.add(connection, [wire.record(change, self._ids.next())])


class LockedRows:
    """Serves `LockedGroup`, inside the transaction that holds the lock."""

    def __init__(
        self,
        connection: AsyncConnection,
        send: Callable[[AsyncConnection, Change], Awaitable[None]],
        group: Group,
        caller: Member,
    ) -> None:
        self._connection = connection
        self._send = send
        self._group = group
        self._caller = caller

    @property
    def membership(self) -> Membership:
        return Membership(self._group, self._caller.role)

    async def members(self, user_ids: Sequence[str]) -> Mapping[str, Member]:
        return await _members(self._connection, self._group.group_id, user_ids)

    async def longest_serving(self, role: Role) -> Member | None:
        query = (
            select(MEMBERS.c.user_id, MEMBERS.c.role)
            .where(MEMBERS.c.group_id == self._group.group_id, MEMBERS.c.role == role)
            .order_by(MEMBERS.c.joined_version, MEMBERS.c.user_id)
            .limit(1)
        )
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else _member(row)

    async def apply(self, change: Change) -> None:
        self._group = self._group.after(change)
        if change.left:
            await self._connection.execute(delete(MEMBERS).where(_among(self._group.group_id, change.left)))
        for member in change.changed:
            where = _among(self._group.group_id, [member.user_id])
            await self._connection.execute(update(MEMBERS).where(where).values(role=member.role))
            if member.user_id == self._caller.user_id:
                self._caller = member
        await _join(self._connection, change)
        await self._connection.execute(
            update(GROUPS)
            .where(GROUPS.c.group_id == self._group.group_id)
            .values(name=self._group.name, member_count=self._group.member_count, version=self._group.version)
        )
        await self._send(self._connection, change)


async def _join(connection: AsyncConnection, change: Change) -> None:
    rows = [
        {
            "group_id": change.group_id,
            "user_id": member.user_id,
            "role": int(member.role),
            "joined_version": change.version,
        }
        for member in change.joined
    ]
    if rows:
        await connection.execute(insert(MEMBERS), rows)


async def _members(connection: AsyncConnection, group_id: str, user_ids: Sequence[str]) -> dict[str, Member]:
    query = select(MEMBERS.c.user_id, MEMBERS.c.role).where(_among(group_id, user_ids))
    return {row.user_id: _member(row) for row in await connection.execute(query)}


def _among(group_id: str, user_ids: Sequence[str]) -> ColumnElement[bool]:
    return and_(MEMBERS.c.group_id == group_id, MEMBERS.c.user_id.in_(user_ids))


def _member(row: Row[Any, Any]) -> Member:
    return Member(row.user_id, Role(row.role))


def _group(row: Row[Any]) -> Group:
    return Group(row.group_id, row.name, row.member_count, row.version, row.created_us)
