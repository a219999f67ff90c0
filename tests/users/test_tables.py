"""The tables: what belongs together is stored together."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from svc.backends.outbox import Outbox
from svc.backends.sql import open_sql
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.shards import FixedShards, ShardMap
from svc.users.adapters.sql import OUTBOX, SCHEMA, SqlAccounts, SqlDevices, SqlKeys
from svc.users.model import DEVICE_KEPT_US, Account, Device, SigningKey, User
from svc.users.refresh import RefreshState, RefreshTokens, begin, renewed
from tests.fakes import FakeClock, MemoryLog
from tests.tables import parsed

ALICE = Account(User("u1", "alice", "Alice", 1), "hash", "")
TOKENS = RefreshTokens(bytes(32))


@dataclass(frozen=True)
class Tables:
    """Nothing sends from the outbox, so all of it stays there."""

    accounts: SqlAccounts
    devices: SqlDevices
    keys: SqlKeys
    outbox: Outbox

    async def device(self, device_id: str) -> Device | None:
        found = await self.devices.devices([device_id, "v999"])
        return found[0] if found else None

    async def add_device(self, device_id: str, at_us: int = 1) -> RefreshState:
        state = begin(TOKENS.first(device_id), at_us)
        await self.devices.add(Device(device_id, "u1", "", at_us, at_us), state, at_us - DEVICE_KEPT_US)
        return state


@pytest.fixture
async def tables(tmp_path: Path, mysql: str) -> AsyncIterator[Tables]:
    clock = FakeClock()
    async with open_sql(parsed(mysql) if mysql else tmp_path / "users.sqlite", SCHEMA) as sql:
        outbox = Outbox(sql, OUTBOX, MemoryLog(), FixedShards(ShardMap.initial(5)), clock)
        opened = Tables(SqlAccounts(sql), SqlDevices(sql, outbox, SnowflakeGenerator(clock)), SqlKeys(sql), outbox)
        assert await opened.accounts.add(ALICE)
        yield opened


async def test_a_sign_out_and_its_record_are_one(tables: Tables) -> None:
    """A failure after both undoes both; without one both are there."""
    await tables.add_device("v1")

    async def sign_out(fail: bool) -> None:
        async with tables.devices.locked("v1") as locked:
            assert locked is not None
            await locked.sign_out()
            if fail:
                raise KeyError

    with pytest.raises(KeyError):
        await sign_out(fail=True)
    device = await tables.device("v1")
    assert (device is not None and device.signed_out, await tables.outbox.pending()) == (False, 0)
    await sign_out(fail=False)
    device = await tables.device("v1")
    assert (device is not None and device.signed_out, await tables.outbox.pending()) == (True, 1)


async def test_the_state_of_a_refresh_token_reads_back(tables: Tables) -> None:
    """With as many exchanges as may be repeated at most."""
    state = await tables.add_device("v1")
    token = TOKENS.first("v1")
    for number in range(100):
        token = TOKENS.successor(token)
        state = renewed(state, token, 4_000_000_000_000_000 + number)
    assert len(state.exchanges) == 60
    async with tables.devices.locked("v1") as locked:
        assert locked is not None
        await locked.renew(state)
    async with tables.devices.locked("v1") as locked:
        assert locked is not None
        assert locked.refresh == state


async def test_devices_that_nobody_used_for_long_are_forgotten(tables: Tables) -> None:
    """When the next one is made: the table grows with people, not with time."""
    await tables.add_device("v1", at_us=1)
    await tables.add_device("v2", at_us=1 + DEVICE_KEPT_US)
    assert await tables.device("v1") is not None
    await tables.add_device("v3", at_us=2 + DEVICE_KEPT_US)
    assert await tables.device("v1") is None
    assert await tables.device("v2") is not None


async def test_two_users_never_share_an_id(tables: Tables) -> None:
    """A name in use is an answer; an id in use is a fault, and says so."""
    assert not await tables.accounts.add(Account(User("u2", "alice", "", 1), "hash"))
    with pytest.raises(IntegrityError):
        await tables.accounts.add(Account(User("u1", "bob", "", 1), "hash"))


async def test_a_hash_is_replaced_only_if_it_is_still_the_one(tables: Tables) -> None:
    """A password that changed meanwhile is not overwritten with the old one's new hash."""
    await tables.accounts.replace_hash("u1", "other", "new")
    assert await tables.accounts.named("alice") == ALICE
    await tables.accounts.replace_hash("u1", "hash", "new")
    account = await tables.accounts.named("alice")
    assert account is not None
    assert account.password_hash == "new"


async def test_one_of_many_who_make_a_signing_key_makes_it(tables: Tables) -> None:
    """At the same moment, with clocks that differ; none while there is a younger one."""
    for since_us, expected in ((1, 1), (100, 1), (201, 2)):
        made = [SigningKey(f"{since_us} {number}", bytes(32), since_us + number) for number in range(8)]
        await asyncio.gather(*(tables.keys.add_signing_key(key, since_us - 100) for key in made))
        assert len(await tables.keys.signing_keys()) == expected


async def test_the_first_key_of_refresh_tokens_stays(tables: Tables) -> None:
    """Whoever asks later gets it, whatever they bring."""
    assert await tables.keys.refresh_key(b"a" * 32) == b"a" * 32
    assert await tables.keys.refresh_key(b"b" * 32) == b"a" * 32
