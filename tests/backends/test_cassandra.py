"""A session with Cassandra: its tables, what it promises of reads and writes, and what it does when nobody answers."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from svc.backends import cassandra, messages_cql
from svc.backends.breaker import FAILURES
from svc.backends.cassandra import Cassandra, Insert, open_cassandra
from svc.backends.cassandra_migrations import migrate
from svc.backends.cassandra_ring import token_of
from svc.backends.messages_cql import TABLES, VERSIONS
from svc.delivery import model
from svc.kernel import addresses
from svc.kernel.addresses import Address
from svc.kernel.errors import StartError, Unavailable
from tests.backends.cassandra import SEAL, command, keyspace, tables
from tests.real import private_backends

pytestmark = pytest.mark.real

MARK = Insert("INSERT INTO read_marks (user_id, conversation_id, seq) VALUES (?, ?, ?) USING TIMESTAMP ?", key=1)
MARKS = "SELECT conversation_id, seq FROM read_marks WHERE user_id = ?"
EVENT = Insert("INSERT INTO events (conversation_id, bucket, lane, seq) VALUES (?, ?, ?, ?)", key=2)


@pytest.fixture
async def place() -> AsyncIterator[Address]:
    async with keyspace() as made:
        yield made


@pytest.fixture
async def session() -> AsyncIterator[Cassandra]:
    async with tables() as place, open_cassandra(place, SEAL) as opened:
        yield opened


# Tables


async def test_migrations_may_run_twice_and_at_the_same_time(place: Address):
    """Whoever starts together; each table is there once, with the columns that the statements name."""
    applied = await asyncio.gather(*(migrate(place) for _ in range(4)))
    assert {version for versions in applied for version in versions} == set(range(1, len(VERSIONS) + 1))
    assert await migrate(place) == []
    found = await command(place, f"SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{place.name}'")
    assert {name for (name,) in found} == set(TABLES)


async def test_a_keyspace_is_made_with_the_replication_of_the_address(place: Address):
    """By data centre, never by SimpleStrategy."""
    await migrate(place)
    ((replication,),) = await command(
        place, f"SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = '{place.name}'"
    )
    assert isinstance(replication, dict)
    assert replication["class"].endswith("NetworkTopologyStrategy")
    assert replication["datacenter1"] == place.option("replication", "3")


async def test_a_missing_keyspace_says_what_to_do(place: Address):
    """At the start, not at the first message."""
    with pytest.raises(StartError, match=rf"no keyspace {place.name}: run `stonechat migrate`"):
        async with open_cassandra(place, SEAL):
            pass


@pytest.mark.parametrize(("change", "told"), [(-1, "run `stonechat migrate`"), (1, "newer one; use that")])
async def test_a_keyspace_of_another_version_is_refused(place: Address, change: int, told: str):
    """Older or newer; and a newer one is not migrated back."""
    await migrate(place)
    version = len(VERSIONS)
    table = f"{place.name}.schema_versions"
    if change < 0:
        await command(place, f"DELETE FROM {table} WHERE name = 'messages' AND version = {version}")
    else:
        await command(place, f"INSERT INTO {table} (name, version) VALUES ('messages', {version + 1})")
    with pytest.raises(StartError, match=rf"of version {version + change}, this program needs {version}: .*{told}"):
        async with open_cassandra(place, SEAL):
            pass
    if change < 0:
        assert await migrate(place) == [version]
    else:
        with pytest.raises(StartError, match=told):
            await migrate(place)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hosts": (("127.0.0.1", 1),)}, "does not answer"),
        ({"options": {"dc": "elsewhere"}}, "no data centre elsewhere"),
        ({"name": "Not-A-Name"}, "must be a lower-case letter"),
        ({"hosts": (("127.0.0.1", 9042), ("127.0.0.1", 9043))}, "same port"),
        ({"options": {"ca": "/nowhere/ca.pem"}}, "certificates cannot be read"),
    ],
)
async def test_a_wrong_address_stops_the_start(place: Address, changes: dict[str, object], told: str):
    """With the setting to correct."""
    with pytest.raises(StartError, match=told) as caught:
        async with open_cassandra(replace(place, **changes), SEAL):
            pass
    assert "STONECHAT_CASSANDRA" in caught.value.message


def test_buckets_are_those_of_delivery():
    """Who writes and who reads count alike."""
    assert messages_cql.BUCKET_EVENTS == model.BUCKET_EVENTS


# Reading and writing


async def test_the_highest_version_of_a_cell_wins(session: Cassandra):
    """In one write or in several, in whichever order."""
    rng = random.Random(5)
    for _ in range(20):
        seqs = rng.sample(range(1, 1000), 6)
        user = f"u{rng.randrange(1 << 30)}"
        await session.write([(MARK, (user, "g1", seq, seq)) for seq in seqs[:3]])
        for seq in seqs[3:]:
            await session.write([(MARK, (user, "g1", seq, seq))])
        assert await session.rows(MARKS, (user,)) == [("g1", max(seqs))]


async def test_a_write_may_have_any_number_of_rows_and_bytes(session: Cassandra):
    """More than a batch takes, of many partitions; a read brings every page of it."""
    names = [f"g{number}" for number in range(5000)]
    await session.write([(MARK, ("u1", name, 1, 1)) for name in names])
    await session.write([(MARK, (f"u{number}", "g1" + "0" * 400, 1, 1)) for number in range(2, 800)])
    assert {name for name, _ in await session.rows(MARKS, ("u1",))} == set(names)
    assert len(await session.rows(MARKS, ("u799",))) == 1
    await session.write([])


async def test_tokens_are_those_of_cassandra(session: Cassandra):
    """Otherwise rows of different nodes would share batches: slower, though not wrong."""
    names = ["g1", "d.u11.u12", "inbox.u1", "ünï", "\x7f\x80ÿ" * 7, *("x" * length for length in range(1, 40))]
    rows = [(name, bucket, 0, 1) for name in names for bucket in (0, 200, 70_000)]
    await session.write([(EVENT, row) for row in rows])
    for name, bucket, *_ in rows:
        ((token,),) = await session.rows(
            "SELECT token(conversation_id, bucket) FROM events WHERE conversation_id = ? AND bucket = ?", (name, bucket)
        )
        parts = (name.encode(), bucket.to_bytes(4, "big"))
        assert token == token_of(b"".join(len(part).to_bytes(2, "big") + part + b"\x00" for part in parts))


async def test_a_refused_statement_is_no_sign_that_nobody_answers(session: Cassandra):
    """Those who ask for what exists are answered as before."""
    for _ in range(2 * FAILURES):
        with pytest.raises(Unavailable, match="refuses what it was asked"):
            await session.rows("SELECT nothing FROM events")
    await session.ping()


async def test_who_goes_away_in_the_middle_leaves_nothing_behind(session: Cassandra):
    """Calls that are cancelled give back their room, whether they wait for it or for the answer."""
    rows = [(MARK, (f"u{number}", "g1" * 200, 1, 1)) for number in range(3000)]
    for turns in range(12):
        writing = asyncio.create_task(session.write(rows))
        for _ in range(turns * 3):
            await asyncio.sleep(0)
        writing.cancel()
        await asyncio.wait([writing])
    await session.write(rows)
    assert await session.rows(MARKS, ("u2999",)) == [("g1" * 200, 1)]
    assert await asyncio.wait_for(session._budget.take(cassandra.IN_FLIGHT_BYTES), 5) == cassandra.IN_FLIGHT_BYTES


# When nobody answers


async def answers(session: Cassandra) -> None:
    """Wait until it is answered again."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await session.ping()
            except Unavailable:
                await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_a_cluster_that_hangs_or_dies_is_found_out_and_found_again(tmp_path: Path):
    """While it is paused, and while it is dead, calls fail, soon without being sent; the same session goes on by itself, with
    statements that the new process has to be told again. (One node that is killed may lose what it was told in its last 0.1 s:
    that several keep everything is what replication is for.)"""
    async with private_backends(tmp_path, "cassandra") as own:
        place = addresses.parse(addresses.CASSANDRA, own.address("cassandra", "own"))
        await migrate(place)
        async with open_cassandra(place, SEAL) as session:
            await session.write([(MARK, ("u1", "g1", 1, 1))])
            for seq, (stop, start) in enumerate(((own.pause, own.resume), (own.kill, own.start)), 2):
                assert await session.rows(MARKS, ("u1",)) != []
                await stop("cassandra")
                outcomes = await asyncio.gather(
                    *(session.write([(MARK, ("u2", "g1", 1, 1))]) for _ in range(FAILURES)), return_exceptions=True
                )
                assert [type(outcome) for outcome in outcomes] == [Unavailable] * FAILURES
                with pytest.raises(Unavailable, match="cassandra does not answer"):
                    await session.rows(MARKS, ("u1",))
                await start("cassandra")
                await answers(session)
                await session.write([(MARK, ("u1", "g1", seq, seq))])
                assert await session.rows(MARKS, ("u1",)) == [("g1", seq)]
