"""Groups over real tables, without a server: what the rules, the tables and the property are tested in."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from stonechat.groups.v1.membership_pb2 import MembershipChange
from svc.backends.outbox import Outbox
from svc.backends.sql import Sql, open_sql
from svc.backends.sqlite_log import open_event_log
from svc.groups.adapters.sql import MEMBERS, OUTBOX, SCHEMA, SqlGroups
from svc.groups.groups import Groups
from svc.groups.model import NewGroup, Role
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.record import Record, decode
from svc.kernel.shards import FixedShards, ShardMap
from tests.tables import parsed

NOW_US = 1_800_000_000_000_000
USERS = tuple(f"u{number}" for number in range(1, 21))
NOBODY = "u999"


class FixedClock:
    """Stands still: nothing here may depend on time passing."""

    def now_us(self) -> int:
        return NOW_US

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError(f"nothing here waits {seconds} s")


class AccountsOf:
    """Serves `Users`: a fixed set of accounts."""

    def __init__(self, user_ids: Sequence[str]) -> None:
        self._user_ids = frozenset(user_ids)

    async def known(self, user_ids: Sequence[str]) -> frozenset[str]:
        return self._user_ids.intersection(user_ids)


@dataclass(frozen=True)
class World:
    """The rules, and a look at what they left in the tables. Nothing sends from the outbox, so all of it stays there."""

    groups: Groups
    store: SqlGroups
    sql: Sql

    async def group(self, owner: str, *members: str, admins: Sequence[str] = ()) -> str:
        """A group in which these joined one after the other, so that each serves longer than the next."""
        group_id = (await self.groups.create(owner, NewGroup("A group", (), ""))).group.group_id
        for user_id in members:
            await self.groups.add(owner, group_id, [user_id])
        for user_id in admins:
            await self.groups.set_role(owner, group_id, user_id, Role.ADMIN)
        return group_id

    async def table(self, group_id: str) -> dict[str, Role]:
        """The members of a group as they are stored."""
        async with self.sql.read() as connection:
            rows = await connection.execute(select(MEMBERS).where(MEMBERS.c.group_id == group_id))
            return {row.user_id: Role(row.role) for row in rows}

    async def records(self, group_id: str) -> list[Record]:
        """The records of a group's changes, in the order in which they will be sent."""
        waiting = OUTBOX.records.c
        async with self.sql.read() as connection:
            query = select(OUTBOX.records).where(waiting.conversation_id == group_id).order_by(waiting.id)
            return [decode(row.record) for row in await connection.execute(query)]

    async def last_change(self, group_id: str) -> MembershipChange:
        """The newest change, as clients will see it."""
        return MembershipChange.FromString((await self.records(group_id))[-1].body)


@asynccontextmanager
async def open_world(folder: Path, max_members: int = 100, mysql: str = "") -> AsyncIterator[World]:
    """A world in a folder, its tables there or where `mysql` says; several may share one, as instances share a database."""
    clock = FixedClock()
    ids = SnowflakeGenerator(clock)
    async with (
        open_event_log(folder / "log.sqlite", clock) as log,
        open_sql(parsed(mysql) if mysql else folder / "groups.sqlite", SCHEMA) as sql,
    ):
        store = SqlGroups(sql, Outbox(sql, OUTBOX, log, FixedShards(ShardMap.initial(5)), clock), ids)
        yield World(Groups(store, AccountsOf(USERS), ids, clock, max_members), store, sql)


def replay(records: Sequence[Record]) -> dict[str, Role]:
    """The members that a client gets to which the changes come in order, checking that each fits on those before."""
    members: dict[str, Role] = {}
    for version, record in enumerate(records, start=1):
        change = MembershipChange.FromString(record.body)
        assert (record.version, change.version) == (version, version)
        assert record.client_message_id == f"~membership.{version}"
        assert record.joined == tuple(member.user_id for member in change.joined)
        assert record.left == tuple(change.left)
        assert members.keys() >= set(change.left)
        for user_id in change.left:
            del members[user_id]
        assert members.keys() >= {member.user_id for member in change.changed}
        assert members.keys().isdisjoint(record.joined)
        members |= {member.user_id: Role(member.role) for member in (*change.joined, *change.changed)}
    return members
