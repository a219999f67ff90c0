"""MySQL that hangs, dies, comes back, refuses, or is at odds with itself: nothing waits longer than it may, nothing has to be
mended by hand."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update

from svc.backends import sql_transactions
from svc.backends.breaker import FAILURES
from svc.backends.sql import Sql, open_sql
from svc.backends.sql_mysql import CONNECTIONS, migrate
from svc.kernel.errors import StartError, Unavailable
from tests.backends.counters import COUNTERS, SCHEMA
from tests.backends.test_sql import count, store
from tests.real import Backends, private_backends, unique
from tests.tables import command, database, parsed

pytestmark = pytest.mark.real


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with database() as made:
        await migrate(parsed(made), [SCHEMA])
        yield made


@pytest.fixture
async def sql(url: str) -> AsyncIterator[Sql]:
    async with open_sql(parsed(url), SCHEMA) as opened:
        yield opened


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Backends]:
    """A server of a test's own."""
    async with private_backends(tmp_path, "mariadb") as backends:
        yield backends


async def answers_again(sql: Sql) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                return await sql.ping()
            except Unavailable:
                await asyncio.sleep(0.05)


async def ask(sql: Sql, times: int) -> list[BaseException | None]:
    return await asyncio.gather(*(sql.ping() for _ in range(times)), return_exceptions=True)


async def test_a_session_is_strict_and_takes_every_character(url: str, sql: Sql) -> None:
    """Whatever the server's own settings are; reads are of one moment, and the database speaks the whole of Unicode."""
    async with sql.read() as connection:
        mode = (await connection.execute(text("SELECT @@sql_mode"))).scalar_one()
        name = (await connection.execute(text("SELECT '👋', CHARSET('👋'), @@collation_database"))).one()
    assert "STRICT_ALL_TABLES" in mode
    assert tuple(name[:2]) == ("👋", "utf8mb4")
    assert str(name[2]).startswith("utf8mb4_")


async def test_a_key_is_the_same_in_every_byte_or_another(sql: Sql) -> None:
    """Spaces, case and letters with accents included, as on SQLite."""
    await store(sql, "alice")
    async with sql.read() as connection:
        for other in ("alice ", "Alice", "alicé", "alice\0", ""):
            query = select(COUNTERS.c.name).where(COUNTERS.c.name == other)
            assert (await connection.execute(query)).all() == []
    await store(sql, "alice ")
    assert await count(sql) == 2


async def test_a_transaction_that_waits_too_long_for_a_row_is_told_to_come_back(sql: Sql, url: str) -> None:
    """Somebody else holds it; the server answers, so nobody else is kept from asking."""
    await store(sql, "a")
    change = update(COUNTERS).values(value=2)
    async with open_sql(parsed(url), SCHEMA) as other, other.write() as holder:
        await holder.execute(change)

        async def wait() -> None:
            async with sql.write() as connection:
                await connection.execute(change)

        outcomes = await asyncio.gather(*(wait() for _ in range(FAILURES + 1)), return_exceptions=True)
        assert {str(outcome) for outcome in outcomes} == {
            "the store of things is busy: others hold what is to be changed"
        }
        assert await count(sql) == 1
    await wait()


async def test_of_two_that_wait_for_each_other_one_is_undone(sql: Sql, url: str) -> None:
    """And told to come back; the other one goes on."""
    await store(sql, "a")
    await store(sql, "b")
    both = asyncio.Barrier(2)

    async def cross(names: str) -> None:
        async with sql.write() as connection:
            for name in names:
                change = update(COUNTERS).where(COUNTERS.c.name == name).values(value=COUNTERS.c.value + 1)
                await connection.execute(change)
                if name == names[0]:
                    await both.wait()

    outcomes = await asyncio.gather(cross("ab"), cross("ba"), return_exceptions=True)
    assert sorted(map(str, outcomes)) == ["None", "the store of things is busy: others change the same"]
    async with sql.read() as connection:
        assert (await connection.execute(select(COUNTERS.c.value))).scalars().all() == [2, 2]


async def test_an_insert_does_not_wait_for_who_reads_the_end_of_a_table(sql: Sql, url: str) -> None:
    """Locks are of rows that are there."""
    await store(sql, "a")
    async with open_sql(parsed(url), SCHEMA) as other, other.write() as reader:
        query = select(COUNTERS).where(COUNTERS.c.name >= "a").with_for_update()
        assert len((await reader.execute(query)).all()) == 1
        await store(sql, "b")
        assert len((await reader.execute(query)).all()) == 2


async def test_more_transactions_than_connections_wait_for_their_turn(sql: Sql) -> None:
    """Those for whom it does not come are told so, which says nothing of the server."""
    async with asyncio.timeout(10):
        await asyncio.gather(*(store(sql, f"n{number}") for number in range(CONNECTIONS * 5)))
    assert await count(sql) == CONNECTIONS * 5


async def test_a_statement_that_takes_too_long_ends_as_unavailable(sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transaction is undone as soon as the server finds that nobody waits."""

    async def stall() -> None:
        async with sql.write() as connection:
            await connection.execute(insert(COUNTERS).values(name="a", value=1))
            await connection.execute(text("SELECT SLEEP(1)"))

    with monkeypatch.context() as patch:
        patch.setattr(sql_transactions, "TRANSACTION_SECONDS", 0.3)
        with pytest.raises(Unavailable, match="does not answer in time"):
            await stall()
    await store(sql, "a")
    assert await count(sql) == 1


async def test_connections_that_the_server_closed_are_replaced(sql: Sql, url: str) -> None:
    """Nobody notices."""
    await ask(sql, CONNECTIONS)
    name = parsed(url).name
    ids = await command(url, f"SELECT id FROM information_schema.processlist WHERE db = '{name}'")
    assert len(ids) > 1
    await command(url, *(f"KILL {number}" for (number,) in ids))
    assert await ask(sql, CONNECTIONS * 2) == [None] * CONNECTIONS * 2


async def test_a_connection_that_is_cut_in_a_transaction_is_unavailable(sql: Sql, url: str) -> None:
    """What it did is undone."""

    async def cut() -> None:
        async with sql.write() as connection:
            await connection.execute(insert(COUNTERS).values(name="a", value=1))
            number = (await connection.execute(text("SELECT CONNECTION_ID()"))).scalar_one()
            await command(url, f"KILL {number}")
            await connection.execute(update(COUNTERS).values(value=2))

    with pytest.raises(Unavailable, match="is gone"):
        await cut()
    assert await count(sql) == 0


async def test_a_server_that_hangs_is_told_from_one_that_answers_and_comes_back(
    server: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody is told within their deadline, then at once; when it goes on, so does everything, without hands."""
    url = server.address("mariadb", unique("hangs"))
    await migrate(parsed(url), [SCHEMA])
    async with open_sql(parsed(url), SCHEMA) as sql:
        await ask(sql, CONNECTIONS)
        await server.pause("mariadb")
        try:
            with monkeypatch.context() as patch:
                patch.setattr(sql_transactions, "TRANSACTION_SECONDS", 0.3)
                outcomes = await ask(sql, CONNECTIONS)
                assert {str(outcome) for outcome in outcomes} == {"the store of things does not answer in time"}
                with pytest.raises(Unavailable, match=r"mysql \(things\) does not answer: it does not answer in time"):
                    await store(sql, "a")
            with pytest.raises(StartError, match="start it, or correct STONECHAT_MYSQL"):
                async with open_sql(parsed(url), SCHEMA):
                    pass
        finally:
            await server.resume("mariadb")
        await answers_again(sql)
        await store(sql, "b")
        assert await count(sql) == 1


async def test_a_server_that_dies_is_unavailable_until_it_is_there_again(server: Backends) -> None:
    """What was committed is there, what was not is not."""
    url = server.address("mariadb", unique("dies"))
    await migrate(parsed(url), [SCHEMA])
    async with open_sql(parsed(url), SCHEMA) as sql:
        await store(sql, "a")

        async def die() -> None:
            async with sql.write() as connection:
                await connection.execute(insert(COUNTERS).values(name="b", value=1))
                await server.kill("mariadb")

        with pytest.raises(Unavailable, match="is gone"):
            await die()
        with pytest.raises(Unavailable, match="cannot be reached"):
            await store(sql, "c")
        with pytest.raises(StartError, match=r"cannot be used .*Connect call failed.*: start it, or correct"):
            async with open_sql(parsed(url), SCHEMA):
                pass
        with pytest.raises(StartError, match="start it, or correct STONECHAT_MYSQL"):
            await migrate(parsed(url), [SCHEMA])
        await server.start("mariadb")
        await answers_again(sql)
        assert await count(sql) == 1


async def test_the_first_host_that_answers_is_taken(url: str) -> None:
    """The others may be away."""
    host = url.removeprefix("mysql://")
    two = url.replace(host, host.replace("@", "@127.0.0.1:1,", 1))
    assert len(parsed(two).hosts) == 2
    async with open_sql(parsed(two), SCHEMA) as sql:
        await store(sql, "a")


async def test_who_is_not_let_in_is_told(url: str) -> None:
    """By the name of the setting; a password is used as it is meant, and never shown."""
    name = unique("user")
    place = parsed(url)
    await command(
        url, f"CREATE USER {name}@'%' IDENTIFIED BY 'p@ss/wörd'", f"GRANT SELECT ON {place.name}.* TO {name}@'%'"
    )
    try:
        ((host, port),) = place.hosts
        good = f"mysql://{name}:p%40ss%2Fw%C3%B6rd@{host}:{port}/{place.name}"
        async with open_sql(parsed(good), SCHEMA) as sql:
            await sql.ping()
            with pytest.raises(Unavailable, match="does not let this user use the tables"):
                await store(sql, "a")
        with pytest.raises(StartError, match="refuses the user of STONECHAT_MYSQL") as refused:
            async with open_sql(parsed(good.replace("p%40", "secret")), SCHEMA):
                pass
        assert "secret" not in refused.value.message
    finally:
        await command(url, f"DROP USER {name}@'%'")
