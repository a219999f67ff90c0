"""Users in tables. The row of a device is its lock: whoever changes the device holds it until the transaction ends."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    MetaData,
    Row,
    Table,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from svc.backends.outbox import Outbox, OutboxTables
from svc.backends.sql import Schema, Sql
from svc.backends.sql_columns import fixed_bytes, free_text, key_text
from svc.kernel.ids import SnowflakeGenerator
from svc.users import wire
from svc.users.model import Account, Device, DevicePlace, SigningKey, User
from svc.users.refresh import Exchange, RefreshState

SCHEMA = Schema("users", 2, Path(__file__).parent / "versions")
METADATA = MetaData()
OUTBOX = OutboxTables.of("users_outbox", METADATA)

USERS = Table(
    "users",
    METADATA,
    Column("user_id", key_text(20), primary_key=True),
    Column("username", key_text(32), nullable=False, unique=True),
    Column("display_name", free_text(100), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("password_hash", key_text(255), nullable=False),
    Column("client_request_id", key_text(64), nullable=False),
)

DEVICES = Table(
    "devices",
    METADATA,
    Column("device_id", key_text(20), primary_key=True),
    Column("user_id", key_text(20), ForeignKey("users.user_id"), nullable=False),
    Column("name", free_text(100), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("refreshed_us", BigInteger, nullable=False),
    Column("signed_out", Boolean, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("digest", fixed_bytes(32), nullable=False),
    # The exchanges of the last minute, [[generation, µs], …]: read and written only with the row.
    Column("exchanges", key_text(2_500), nullable=False),
    Index("devices_by_age", "user_id", "created_us", "device_id"),
)

SIGNING_KEYS = Table(
    "signing_keys",
    METADATA,
    Column("key_id", key_text(16), primary_key=True),
    Column("private", fixed_bytes(32), nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

SECRETS = Table(
    "secrets",
    METADATA,
    Column("name", key_text(32), primary_key=True),
    Column("value", fixed_bytes(32), nullable=False),
)

# A device without the state of its refresh token, which may be long.
_DEVICE = [DEVICES.c[name] for name in ("device_id", "user_id", "name", "created_us", "refreshed_us", "signed_out")]
# The row that is locked by who makes a signing key; no secret.
_SIGNING_TURN = "signing keys are made"


class SqlAccounts:
    """Serves `AccountStore`."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def add(self, account: Account) -> bool:
        user = account.user
        statement = insert(USERS).values(
            user_id=user.user_id,
            username=user.username,
            display_name=user.display_name,
            created_us=user.created_us,
            password_hash=account.password_hash,
            client_request_id=account.client_request_id,
        )
        try:
            async with self._sql.write() as connection:
                await connection.execute(statement)
        except IntegrityError:
            if await self.named(user.username) is None:
                raise
            return False
        return True

    async def named(self, username: str) -> Account | None:
        async with self._sql.read() as connection:
            row = (await connection.execute(select(USERS).where(USERS.c.username == username))).one_or_none()
        return None if row is None else Account(_user(row), row.password_hash, row.client_request_id)

    async def user(self, user_id: str) -> User | None:
        async with self._sql.read() as connection:
            row = (await connection.execute(select(USERS).where(USERS.c.user_id == user_id))).one_or_none()
        return None if row is None else _user(row)

    async def known(self, user_ids: Sequence[str]) -> frozenset[str]:
        async with self._sql.read() as connection:
            rows = await connection.execute(select(USERS.c.user_id).where(USERS.c.user_id.in_(user_ids)))
            return frozenset(rows.scalars())

    async def rename(self, user_id: str, display_name: str) -> User | None:
        async with self._sql.write() as connection:
            await connection.execute(update(USERS).where(USERS.c.user_id == user_id).values(display_name=display_name))
            row = (await connection.execute(select(USERS).where(USERS.c.user_id == user_id))).one_or_none()
        return None if row is None else _user(row)

    async def replace_hash(self, user_id: str, old: str, new: str) -> None:
        same = and_(USERS.c.user_id == user_id, USERS.c.password_hash == old)
        async with self._sql.write() as connection:
            await connection.execute(update(USERS).where(same).values(password_hash=new))


class SqlDevices:
    """Serves `DeviceStore`."""

    def __init__(self, sql: Sql, outbox: Outbox, ids: SnowflakeGenerator) -> None:
        self._sql = sql
        self._outbox = outbox
        self._ids = ids

    async def add(self, device: Device, refresh: RefreshState, forget_before_us: int) -> None:
        forgotten = and_(DEVICES.c.user_id == device.user_id, DEVICES.c.refreshed_us < forget_before_us)
        async with self._sql.write() as connection:
            await connection.execute(delete(DEVICES).where(forgotten))
            await connection.execute(
                insert(DEVICES).values(
                    device_id=device.device_id,
                    user_id=device.user_id,
                    name=device.name,
                    created_us=device.created_us,
                    signed_out=device.signed_out,
                    **_refresh_columns(refresh),
                )
            )

    async def devices(self, device_ids: Sequence[str]) -> Sequence[Device]:
        query = select(*_DEVICE).where(DEVICES.c.device_id.in_(device_ids))
        async with self._sql.read() as connection:
            return [_device(row) for row in await connection.execute(query)]

    async def newest(
        self, user_id: str, before: DevicePlace | None, refreshed_since_us: int, limit: int
    ) -> Sequence[Device]:
        query = (
            select(*_DEVICE)
            .where(
                DEVICES.c.user_id == user_id,
                DEVICES.c.signed_out.is_(False),
                DEVICES.c.refreshed_us >= refreshed_since_us,
            )
            .order_by(DEVICES.c.created_us.desc(), DEVICES.c.device_id.desc())
            .limit(limit)
        )
        if before is not None:
            same_time = and_(DEVICES.c.created_us == before.created_us, DEVICES.c.device_id < before.device_id)
            query = query.where(or_(DEVICES.c.created_us < before.created_us, same_time))
        async with self._sql.read() as connection:
            return [_device(row) for row in await connection.execute(query)]

    @asynccontextmanager
    async def locked(self, device_id: str) -> AsyncIterator["LockedRow | None"]:
        query = select(DEVICES).where(DEVICES.c.device_id == device_id).with_for_update()
        async with self._sql.write() as connection:
            row = (await connection.execute(query)).one_or_none()
            yield None if row is None else LockedRow(connection, self._outbox, self._ids, row)


class LockedRow:
    """Serves `LockedDevice`, inside the transaction that holds the lock."""

    def __init__(self, connection: AsyncConnection, outbox: Outbox, ids: SnowflakeGenerator, row: Row[Any]) -> None:
        self._connection = connection
        self._outbox = outbox
        self._ids = ids
        self.device = _device(row)
        self.refresh = RefreshState(
            row.generation,
            row.digest,
            row.refreshed_us,
            tuple(Exchange(generation, at_us) for generation, at_us in json.loads(row.exchanges)),
        )

    async def renew(self, refresh: RefreshState) -> None:
        await self._update(_refresh_columns(refresh))

    async def sign_out(self) -> None:
        await self._update({"signed_out": True})
        record = wire.signed_out(self.device.user_id, self.device.device_id, self._ids.next())
        await self._outbox.add(self._connection, [record])

    async def _update(self, values: dict[str, Any]) -> None:
        this = DEVICES.c.device_id == self.device.device_id
        await self._connection.execute(update(DEVICES).where(this).values(values))


class SqlKeys:
    """Serves `KeyStore`."""

    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    async def signing_keys(self) -> Sequence[SigningKey]:
        query = select(SIGNING_KEYS).order_by(SIGNING_KEYS.c.created_us, SIGNING_KEYS.c.key_id)
        async with self._sql.read() as connection:
            rows = await connection.execute(query)
            return [SigningKey(row.key_id, row.private, row.created_us) for row in rows]

    async def add_signing_key(self, key: SigningKey, since_us: int) -> None:
        try:
            await self._add_signing_key(key, since_us)
        except IntegrityError:
            # Another instance made the first key of all just now.
            await self._add_signing_key(key, since_us)

    async def _add_signing_key(self, key: SigningKey, since_us: int) -> None:
        turn = select(SECRETS.c.name).where(SECRETS.c.name == _SIGNING_TURN).with_for_update()
        newest = select(func.max(SIGNING_KEYS.c.created_us))
        async with self._sql.write() as connection:
            if (await connection.execute(turn)).one_or_none() is None:
                await connection.execute(insert(SECRETS).values(name=_SIGNING_TURN, value=bytes(32)))
            made_us = (await connection.execute(newest)).scalar_one()
            if made_us is None or made_us < since_us:
                values = {"key_id": key.key_id, "private": key.private, "created_us": key.created_us}
                await connection.execute(insert(SIGNING_KEYS).values(values))

    async def drop_signing_keys(self, key_ids: Sequence[str]) -> None:
        async with self._sql.write() as connection:
            await connection.execute(delete(SIGNING_KEYS).where(SIGNING_KEYS.c.key_id.in_(key_ids)))

    async def refresh_key(self, candidate: bytes) -> bytes:
        query = select(SECRETS.c.value).where(SECRETS.c.name == "refresh")
        try:
            async with self._sql.write() as connection:
                found = (await connection.execute(query)).scalar_one_or_none()
                if found is None:
                    await connection.execute(insert(SECRETS).values(name="refresh", value=candidate))
                return found or candidate
        except IntegrityError:
            # Another instance was first.
            async with self._sql.read() as connection:
                return bytes((await connection.execute(query)).scalar_one())


def _user(row: Row[Any]) -> User:
    return User(row.user_id, row.username, row.display_name, row.created_us)


def _device(row: Row[Any]) -> Device:
    return Device(row.device_id, row.user_id, row.name, row.created_us, row.refreshed_us, row.signed_out)


def _refresh_columns(refresh: RefreshState) -> dict[str, Any]:
    exchanges = [[done.generation, done.at_us] for done in refresh.exchanges]
    return {
        "refreshed_us": refresh.used_us,
        "generation": refresh.generation,
        "digest": refresh.digest,
        "exchanges": json.dumps(exchanges, separators=(",", ":")),
    }
