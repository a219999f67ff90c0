"""Versions of tables: led forward, never backward, by one at a time."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, text

from svc.backends.sql import Schema, open_sql
from svc.backends.sql_mysql import migrate
from svc.groups.adapters import sql as groups
from svc.kernel.errors import StartError
from svc.users.adapters import sql as users
from tests.backends.counters import METADATA, NEWER, SCHEMA
from tests.backends.test_sql import count, store
from tests.tables import PLACES, Place, command, database, parsed, tables

SERVICES = [(users.SCHEMA, users.METADATA), (groups.SCHEMA, groups.METADATA)]


async def open_once(place: Place, schema: Schema) -> None:
    async with open_sql(place, schema):
        pass


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with database() as made:
        yield made


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize(("schema", "metadata"), [*SERVICES, (SCHEMA, METADATA)])
async def test_the_newest_version_is_what_the_program_works_on(
    tmp_path: Path, kind: str, schema: Schema, metadata: MetaData
) -> None:
    """No table, column or index that the one has and the other lacks, and the same types."""

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": schema.version_table})
        return list(compare_metadata(context, metadata))

    async with (
        tables(kind, tmp_path / "any.sqlite", schema) as place,
        open_sql(place, schema) as sql,
        sql.read() as connection,
    ):
        assert await connection.run_sync(differences) == []


async def test_a_file_is_led_forward_when_it_is_opened_and_keeps_what_it_holds(tmp_path: Path) -> None:
    async with open_sql(tmp_path / "things.sqlite", SCHEMA) as sql:
        await store(sql, "a")
    async with open_sql(tmp_path / "things.sqlite", NEWER) as sql:
        assert await count(sql) == 1
        async with sql.read() as connection:
            assert (await connection.execute(text("SELECT step FROM counters"))).scalars().all() == [1]


@pytest.mark.parametrize(("schema", "outbox"), [(users.SCHEMA, users.OUTBOX), (groups.SCHEMA, groups.OUTBOX)])
async def test_a_file_of_before_versions_were_kept_by_alembic_is_led_forward(
    tmp_path: Path, schema: Schema, outbox: object
) -> None:
    """With what waited in its outbox, and with numbers that go on."""
    path = tmp_path / "old.sqlite"
    await open_once(path, Schema(schema.name, 1, schema.versions))
    with closing(sqlite3.connect(path)) as connection, connection:  # as such a file was
        connection.execute(f"DROP TABLE {schema.version_table}")
        connection.execute("CREATE TABLE schema_version (version INTEGER NOT NULL)")
        connection.execute("INSERT INTO schema_version VALUES (1)")
        connection.execute("INSERT INTO outbox (id, conversation_id, record, created_us) VALUES (7, 'g1', x'00', 1)")
        connection.execute("INSERT INTO outbox (id, conversation_id, record, created_us) VALUES (8, 'g1', x'00', 1)")
        connection.execute("DELETE FROM outbox WHERE id = 8")
    for _ in range(2):
        await open_once(path, schema)
    with closing(sqlite3.connect(path)) as connection, connection:
        name = f"{schema.name}_outbox"
        assert connection.execute(f"SELECT id FROM {name}").fetchall() == [(7,)]
        connection.execute(f"INSERT INTO {name} (conversation_id, record, created_us) VALUES ('g1', x'00', 1)")
        assert connection.execute(f"SELECT id FROM {name}").fetchall() == [(7,), (9,)]
        tables_left = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables_left.isdisjoint({"outbox", "schema_version"})


async def test_a_newer_file_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    """An old program never writes into what it does not know."""
    path = tmp_path / "things.sqlite"
    await open_once(path, NEWER)
    before = await asyncio.to_thread(path.read_bytes)
    with pytest.raises(StartError, match=r"schema 2, this Stonechat knows schema 1: run the version that wrote it"):
        await open_once(path, SCHEMA)
    assert await asyncio.to_thread(path.read_bytes) == before


async def test_an_upgrade_of_a_file_that_fails_changes_nothing(tmp_path: Path) -> None:
    """All of its steps are one transaction."""
    path = tmp_path / "things.sqlite"
    await open_once(path, SCHEMA)
    broken = tmp_path / "versions"
    await asyncio.to_thread(broken.mkdir)
    for name in ("v1.py", "v2.py"):
        source = await asyncio.to_thread((SCHEMA.versions / name).read_text)
        await asyncio.to_thread((broken / name).write_text, source)
    v3 = "revision = '3'\ndown_revision = '2'\ndef upgrade(op):\n    op.execute('ALTER TABLE missing ADD COLUMN x')\n"
    await asyncio.to_thread((broken / "v3.py").write_text, v3)
    with pytest.raises(StartError, match="no such table: missing"):
        await open_once(path, Schema("things", 3, broken))
    async with open_sql(path, SCHEMA) as sql:
        await store(sql, "a")


@pytest.mark.real
async def test_mysql_is_led_forward_by_the_command_alone(url: str) -> None:
    """A start says what to run; running it again, or twice at once, does no harm; then all of it is there."""
    place = parsed(url)
    with pytest.raises(StartError, match=rf"MySQL has no database {place.name}: run `stonechat migrate`"):
        await open_once(place, SCHEMA)
    assert await migrate(place, [SCHEMA]) == {"things": [1]}
    async with open_sql(place, SCHEMA) as sql:
        await store(sql, "a")
    with pytest.raises(StartError, match=r"no tables of users in .*: run `stonechat migrate`"):
        await open_once(place, users.SCHEMA)
    with pytest.raises(StartError, match=r"of version 1, this program needs 2: run `stonechat migrate`"):
        await open_once(place, NEWER)
    done = await asyncio.gather(*(migrate(place, [NEWER, users.SCHEMA, groups.SCHEMA]) for _ in range(3)))
    led = [versions for each in done for versions in each.values() if versions]
    assert sorted(led) == [[1, 2], [1, 2], [2]]
    async with open_sql(place, NEWER) as sql:
        assert await count(sql) == 1
    with pytest.raises(StartError, match=r"this program knows 1: they were used by a newer one"):
        await open_once(place, SCHEMA)
    with pytest.raises(StartError, match=r"this program knows 1: they were used by a newer one"):
        await migrate(place, [SCHEMA])


@pytest.mark.real
@pytest.mark.parametrize(("schema", "metadata"), SERVICES)
async def test_an_upgrade_of_mysql_that_was_cut_goes_on(url: str, schema: Schema, metadata: MetaData) -> None:
    """Its statements stand one by one, and the version is written last: all of them may come again."""
    place = parsed(url)
    await migrate(place, [schema])
    for version in range(schema.version):
        number = f"UPDATE {place.name}.{schema.version_table} SET version_num = {version}"
        await command(url, number if version else f"DELETE FROM {place.name}.{schema.version_table}")
        assert await migrate(place, [schema]) == {schema.name: list(range(version + 1, schema.version + 1))}
        await open_once(place, schema)
