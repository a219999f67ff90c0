"""Tables in MySQL 8 or MariaDB 10.6 and newer: how it is reached (aiomysql), what its errors mean, how its tables are made."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aiomysql
from pymysql.constants import CLIENT, CR, ER
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from svc.backends.sql_schema import Schema, upgrade
from svc.backends.sql_transactions import WRITES, Failure
from svc.kernel.addresses import Address
from svc.kernel.errors import StartError

CONNECTIONS = 10
"""Of a process, to the tables of each service. Four keep one Python busy, the others are for those who wait for a row that
somebody holds. MySQL's own default of 151 connections is enough for seven processes of users and groups."""
START_SECONDS = 10.0
_CONNECT_SECONDS = 2.0
_TURN_SECONDS = (
    3.0  # for one of them: less than a transaction has, so that a crowd can be told from a server that hangs
)
_RECYCLE_SECONDS = 1800  # so that connections follow where a name points
_UPGRADE_SECONDS = 3600.0
_OTHER_UPGRADE_SECONDS = 60

_SESSION = (
    # What a transaction reads in several statements is of one moment, as on SQLite; those that write ask for less (_begin).
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    # Wrong values are errors, not other values. A lock is waited for less long than a transaction has. Who was frozen in the
    # middle of a transaction holds its locks no longer than a minute: the connection counts as idle.
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO',"
    " innodb_lock_wait_timeout = 3, wait_timeout = 60",
)

_FAILURES = {
    ER.LOCK_WAIT_TIMEOUT: Failure("is busy: others hold what is to be changed", answered=True),
    ER.LOCK_DEADLOCK: Failure("is busy: others change the same", answered=True),
    CR.CR_CONNECTION_ERROR: Failure("cannot be reached"),
    CR.CR_CONN_HOST_ERROR: Failure("cannot be reached"),
    CR.CR_SERVER_GONE_ERROR: Failure("is gone"),
    CR.CR_SERVER_LOST: Failure("is gone"),
    ER.CON_COUNT_ERROR: Failure("has as many connections as it takes"),
    ER.TOO_MANY_USER_CONNECTIONS: Failure("has as many connections of this user as it takes"),
    ER.SERVER_SHUTDOWN: Failure("shuts down"),
    ER.NORMAL_SHUTDOWN: Failure("shuts down"),
    ER.UNKNOWN_COM_ERROR: Failure("is not ready"),  # what a node of a Galera cluster says
    ER.ACCESS_DENIED_ERROR: Failure("does not let this user in"),
    ER.DBACCESS_DENIED_ERROR: Failure("does not let this user use the database"),
    ER.TABLEACCESS_DENIED_ERROR: Failure("does not let this user use the tables"),
    ER.OPTION_PREVENTS_STATEMENT: Failure("is read-only"),
    ER.DISK_FULL: Failure("cannot be written: its disk is full, make room"),
    ER.RECORD_FILE_FULL: Failure("cannot be written: it is full, make room"),
    ER.ERROR_ON_WRITE: Failure("cannot be written: its disk may be full or faulty"),
    ER.QUERY_INTERRUPTED: Failure("was told to stop this"),
}
_NO_TLS = 2026  # CR_SSL_CONNECTION_ERROR


class _Connection(aiomysql.Connection):  # type: ignore[misc]
    def escape(self, value: object) -> str:
        # aiomysql 0.3.2 calls for this what PyMySQL has no more from 1.2 on.
        return f"_binary X'{value.hex()}'" if isinstance(value, bytes) else str(super().escape(value))

    # The driver goes on in the clear, password included, with a server that says it knows no TLS.
    async def _request_authentication(self) -> None:
        if self._ssl_context is not None and not self.server_capabilities & CLIENT.SSL:
            raise aiomysql.OperationalError(_NO_TLS, "TLS is wanted, the server has none")
        await super()._request_authentication()


def failure(error: DBAPIError) -> Failure | None:
    """What an error says of the server; None when it says something of the statement."""
    arguments = getattr(error.orig, "args", ())
    known = _FAILURES.get(arguments[0]) if arguments else None
    return known or (Failure("is gone") if error.connection_invalidated else None)


def engine(address: Address) -> AsyncEngine:
    """What connects to the database of the address, whose first host that answers is taken. Raises StartError when its TLS
    files cannot be read."""
    made = create_async_engine(
        "mysql+aiomysql://",
        async_creator=partial(_connect, address, _tls(address), address.name),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=_TURN_SECONDS,
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_SECONDS,
        pool_reset_on_return=None,  # every transaction is ended where it began: what does not end is cut by its deadline
    )
    event.listen(made.sync_engine, "begin", _begin)
    return made


async def require_version(connection: AsyncConnection, address: Address, schema: Schema) -> None:
    """Raises StartError unless the database has the tables that this program needs."""
    found = await connection.run_sync(_version, schema)
    if found != schema.version:
        raise _other(address, schema, found)


async def migrate(address: Address, schemas: Sequence[Schema]) -> dict[str, list[int]]:
    """Lead the tables of all schemas to their newest versions; the database is made when missing. May be run again, and at the
    same time. Returns the versions that each was led through now, by name. Raises StartError when it cannot be done."""
    done = {}
    try:
        async with asyncio.timeout(_UPGRADE_SECONDS):
            async with _once(address, "") as connection:
                await connection.execute(text(f"CREATE DATABASE IF NOT EXISTS `{address.name}` CHARACTER SET utf8mb4"))
            async with _once(address, address.name) as connection, _alone(connection, address):
                for schema in schemas:
                    found = await connection.run_sync(_version, schema)
                    if found > schema.version:
                        raise _other(address, schema, found)
                    if found < schema.version:
                        await connection.run_sync(upgrade, schema, found)
                        await connection.commit()
                    done[schema.name] = list(range(found + 1, schema.version + 1))
    except (DBAPIError, TimeoutError) as error:
        raise start_error(address, error) from error
    return done


def start_error(address: Address, error: Exception) -> StartError:
    """Why the tables cannot be used, and what to do."""
    where = ", ".join(address.host_ports())
    orig = error.orig if isinstance(error, DBAPIError) else None
    if orig is None:
        return StartError(f"MySQL at {where} does not answer in time: see what keeps it, or correct STONECHAT_MYSQL")
    code, told = orig.args[0], orig.args[-1]
    if code == ER.BAD_DB_ERROR:
        return StartError(f"MySQL has no database {address.name}: run `stonechat migrate`")
    if code in (ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR, ER.TABLEACCESS_DENIED_ERROR):
        return StartError(f"MySQL at {where} refuses the user of STONECHAT_MYSQL: {told}")
    if orig.__cause__ is not None and str(orig.__cause__):
        told = f"{told}: {orig.__cause__}"
    return StartError(f"MySQL at {where} cannot be used ({told}): start it, or correct STONECHAT_MYSQL")


def _other(address: Address, schema: Schema, found: int) -> StartError:
    has = f"the tables of {schema.name} in the database {address.name} on MySQL are of version {found}"
    if found > schema.version:
        return StartError(f"{has}, this program knows {schema.version}: they were used by a newer one; use that")
    what = (
        f"{has}, this program needs {schema.version}"
        if found
        else f"MySQL has no tables of {schema.name} in {address.name}"
    )
    return StartError(f"{what}: run `stonechat migrate`")


def _version(connection: Connection, schema: Schema) -> int:
    if not connection.dialect.has_table(connection, schema.version_table):
        return 0
    found = connection.execute(text(f"SELECT version_num FROM {schema.version_table}")).scalar_one_or_none()  # noqa: S608
    return int(found or 0)


@asynccontextmanager
async def _once(address: Address, database: str) -> AsyncIterator[AsyncConnection]:
    made = create_async_engine(
        "mysql+aiomysql://", async_creator=partial(_connect, address, _tls(address), database), poolclass=NullPool
    )
    try:
        async with made.connect() as connection:
            yield connection
    finally:
        await made.dispose()


@asynccontextmanager
async def _alone(connection: AsyncConnection, address: Address) -> AsyncIterator[None]:
    # Ends with the connection. Tables that are in use are waited for, too, but not for a year.
    await connection.execute(text(f"SET SESSION lock_wait_timeout = {_OTHER_UPGRADE_SECONDS}, wait_timeout = 28800"))
    name = f"stonechat.{address.name}"[:64]
    got = await connection.scalar(
        text("SELECT GET_LOCK(:name, :seconds)"), {"name": name, "seconds": _OTHER_UPGRADE_SECONDS}
    )
    if got != 1:
        raise StartError(
            f"the tables in {address.name} are being migrated by another one: wait for it, then run this again"
        )
    yield


async def _connect(address: Address, tls: ssl.SSLContext | None, database: str) -> Any:
    trouble: Exception | None = None
    for host, port in address.hosts:
        connection = _Connection(
            host=host,
            port=port,
            user=address.user or None,  # the one who runs this
            password=address.password.encode().decode("latin1"),  # the driver encodes it so, the server means UTF-8
            db=database or None,
            charset="utf8mb4",
            ssl=tls,
            client_flag=CLIENT.FOUND_ROWS,  # SQLAlchemy counts those that an UPDATE matched
        )
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await connection.ping(reconnect=True)  # connects; the driver's own connect() drops what is cancelled
                for statement in _SESSION:
                    await connection.query(statement)
            return connection
        except aiomysql.OperationalError as error:
            trouble = error
            connection.close()
            if error.args[0] in (ER.ACCESS_DENIED_ERROR, ER.BAD_DB_ERROR, _NO_TLS):
                break  # the next would say the same
        except TimeoutError as error:
            trouble = aiomysql.OperationalError(CR.CR_CONN_HOST_ERROR, f"{host}:{port} does not answer in time")
            trouble.__cause__ = error
            connection.close()
        except BaseException:
            connection.close()
            raise
    assert trouble is not None  # noqa: S101 - an address has a host
    raise trouble


def _begin(connection: Connection) -> None:
    # Locks of rows that are there, none of what might come between them: so inserts never wait for who reads the end of a
    # table, and each statement sees what was committed before a lock was had.
    if connection.get_execution_options().get(WRITES):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")


def _tls(address: Address) -> ssl.SSLContext | None:
    try:
        return address.tls()
    except OSError as error:  # ssl.SSLError is one, too
        raise StartError(f"a TLS file of STONECHAT_MYSQL cannot be used: {error}") from error
