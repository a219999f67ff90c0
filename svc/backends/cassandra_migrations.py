"""The tables of the keyspace and their versions. `stonechat migrate` applies them; it may run twice, and at the same time."""

import logging
import uuid
from string import Template
from typing import Any

import acsylla
from acsylla.errors import CassException

from svc.backends.cassandra_connect import connected, data_centre, start_error
from svc.backends.messages_cql import TABLES, VERSIONS
from svc.kernel.addresses import Address
from svc.kernel.errors import StartError

log = logging.getLogger(__name__)

_SCHEMA_SECONDS = 30.0
_VERSIONS_TABLE = """
CREATE TABLE IF NOT EXISTS schema_versions (
  name text, version int, applied_at timestamp, PRIMARY KEY (name, version)
) WITH ID = $schema_versions AND CLUSTERING ORDER BY (version DESC)"""
_NAME = "messages"
NEWEST = f"SELECT version FROM schema_versions WHERE name = '{_NAME}' LIMIT 1"  # noqa: S608 - constants


async def migrate(address: Address) -> list[int]:
    """Bring the keyspace to the newest version; makes it when missing. Returns the versions that were applied now.

    Raises StartError when Cassandra cannot do it, or when the keyspace is newer than this program."""
    try:
        async with connected(address, None) as session:
            return await _migrate(session, address)
    except CassException as error:
        raise start_error(address, error) from error


async def require_version(session: Any, address: Address) -> None:
    """Raises StartError unless the keyspace has the version that this program needs."""
    found = await _version(session, address)
    if found != len(VERSIONS):
        raise _other(address, found)


async def _migrate(session: Any, address: Address) -> list[int]:
    replication = {"class": "NetworkTopologyStrategy", data_centre(address): address.option("replication", "3")}
    await _run(session, f"CREATE KEYSPACE IF NOT EXISTS {address.name} WITH replication = {replication}")
    await session.use_keyspace(address.name)
    ids = {name: uuid.uuid5(uuid.NAMESPACE_URL, f"stonechat:{address.name}.{name}") for name in TABLES}
    await _run(session, Template(_VERSIONS_TABLE).substitute(ids))
    found = await _version(session, address)
    if found > len(VERSIONS):
        raise _other(address, found)
    applied = []
    for number, statements in enumerate(VERSIONS[found:], found + 1):
        for statement in statements:
            await _run(session, Template(statement).substitute(ids))
        await _run(
            session,
            f"INSERT INTO schema_versions (name, version, applied_at) VALUES ('{_NAME}', {number}, totimestamp(now()))",  # noqa: S608
        )
        log.info("the keyspace %s is of version %d now", address.name, number)
        applied.append(number)
    return applied


async def _version(session: Any, address: Address) -> int:
    try:
        row = (await _run(session, NEWEST)).first()
    except CassException as error:
        if "schema_versions" in str(error):  # there is no such table
            return 0
        raise start_error(address, error) from error
    return 0 if row is None else int(row.as_tuple()[0])


async def _run(session: Any, text: str) -> Any:
    statement = acsylla.create_statement(text, timeout=_SCHEMA_SECONDS)
    return await session.execute(statement)


def _other(address: Address, found: int) -> StartError:
    has = f"the keyspace {address.name} on Cassandra is of version {found}, this program needs {len(VERSIONS)}"
    if found > len(VERSIONS):
        return StartError(f"{has}: it was used by a newer one; use that")
    return StartError(f"{has}: run `stonechat migrate`")
