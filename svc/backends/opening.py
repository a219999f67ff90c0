"""Opens what the addresses choose: for each back end the real one, or its embedded twin in the data folder.

What is not chosen is not imported either: drivers take a second to load.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Union

from svc.backends.file_switches import FileBoard
from svc.backends.messages_schema import MESSAGES_FILE, SCHEMA
from svc.backends.sqlite import Database, open_database
from svc.backends.sqlite_coordination import open_coordination
from svc.backends.sqlite_log import SqliteEventLog, open_event_log
from svc.kernel.clock import Clock
from svc.kernel.coordination import Coordination
from svc.kernel.errors import StartError
from svc.kernel.eventlog import ACCEPTED, EventLog
from svc.kernel.lifecycle import Failed
from svc.kernel.limits import Pool
from svc.kernel.log_clock import LogClock
from svc.kernel.readiness import Ping
from svc.kernel.registry import SERVICES, ProcessRegistry, Registry
from svc.kernel.settings import Settings
from svc.kernel.switches import Board

if TYPE_CHECKING:
    from svc.backends.cassandra import Cassandra
    from svc.backends.redis import Redis

Messages = Union[Database, "Cassandra"]
"""Where the message store lies."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the processes of an installation know of each other."""

    registry: Registry
    coordination: Coordination
    pings: dict[str, Ping]


@dataclass(frozen=True, slots=True)
class Hot:
    """What is hot and can be rebuilt. Without Redis a process remembers it by itself, and limits are its own."""

    board: Board
    pool: Pool | None = None
    redis: "Redis | None" = None


@asynccontextmanager
async def open_agreement(settings: Settings, failed: Failed) -> AsyncIterator[Agreement]:
    """On ZooKeeper, or of this process alone."""
    address = settings.zookeeper_address()
    if address is None:
        async with open_coordination(settings.data_dir, settings.partitions) as coordination:
            yield Agreement(ProcessRegistry(), coordination, {})
        return
    from svc.backends import zookeeper, zookeeper_coordination, zookeeper_registry

    names = [service.name for service in SERVICES]
    async with (
        zookeeper.open_zookeeper(address) as session,
        zookeeper_registry.open_registry(session, names, failed) as registry,
        zookeeper_coordination.open_coordination(session, settings.partitions, failed) as coordination,
    ):
        yield Agreement(registry, coordination, {"zookeeper": session.ping})


@asynccontextmanager
async def open_hot(settings: Settings, clock: Clock, pings: dict[str, Ping]) -> AsyncIterator[Hot]:
    """On Redis, or of this process alone; how to ask whether it answers is put into `pings`."""
    address = settings.redis_address()
    if address is None:
        yield Hot(FileBoard(settings.data_dir))
        return
    from svc.backends.redis import open_redis
    from svc.backends.redis_buckets import RedisBuckets
    from svc.backends.redis_switches import RedisBoard

    async with open_redis(address, clock) as redis:
        pings["redis"] = redis.ping
        yield Hot(RedisBoard(redis), RedisBuckets(redis), redis)


@asynccontextmanager
async def open_log(
    settings: Settings, clock: Clock, pings: dict[str, Ping], failed: Failed
) -> AsyncIterator[tuple[EventLog, Clock]]:
    """The event log, and its clock: that of a log on this machine is the machine's. How to ask whether it answers is put into
    `pings`."""
    address = settings.kafka_address()
    if address is None:
        async with open_event_log(settings.data_dir / "log.sqlite", clock) as log:
            pings["log"] = _asks_where_it_ends(log)
            yield log, clock
        return
    from svc.backends.kafka_log import open_kafka_log

    log_clock = LogClock(clock)
    async with open_kafka_log(address, failed, log_clock) as kafka:
        pings["kafka"] = kafka.ping
        yield kafka, log_clock


@asynccontextmanager
async def open_messages(settings: Settings, log: EventLog | None, pings: dict[str, Ping]) -> AsyncIterator[Messages]:
    """The message store; how to ask whether it answers is put into `pings`. `log`: what it is written from, if that is known
    here."""
    address = settings.cassandra_address()
    if address is None:
        path = settings.data_dir / MESSAGES_FILE
        if isinstance(log, SqliteEventLog):
            await _require_messages(path, log)
        async with open_database(path, SCHEMA) as database:
            yield database
        return
    from svc.backends.cassandra import open_cassandra
    from svc.backends.sealing import parse_master_keys

    async with open_cassandra(address, parse_master_keys(settings.master_keys)) as cassandra:
        pings["cassandra"] = cassandra.ping
        yield cassandra


def _asks_where_it_ends(log: EventLog) -> Ping:
    async def ping() -> None:
        await log.end_offsets(ACCEPTED)

    return ping


async def _require_messages(path: Path, log: SqliteEventLog) -> None:
    """What the log says is stored is never read from it again: without the messages a new file would count from 1 anew."""
    if await log.is_consumed() and not await asyncio.to_thread(path.exists):
        raise StartError(
            f"{path} is missing, but the log beside it says that messages were stored there: restore it from a backup, or move"
            " the whole folder away to begin with nothing"
        )
