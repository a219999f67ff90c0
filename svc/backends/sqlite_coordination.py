"""What the processes of an installation agree on when there is only one of them: a file, and everything is its own."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

from svc.backends.sqlite import Database, open_database
from svc.kernel.coordination import Claim
from svc.kernel.registry import Instance
from svc.kernel.shards import ShardMap

COORDINATION_FILE = "coordination.sqlite"

SCHEMA = """
CREATE TABLE shards (id INTEGER PRIMARY KEY CHECK (id = 1), map TEXT NOT NULL);
CREATE TABLE claims (id INTEGER PRIMARY KEY CHECK (id = 1), newest INTEGER NOT NULL);
"""


class SqliteCoordination:
    """`svc.kernel.coordination.Coordination`: a claim always succeeds, and ends with the process."""

    def __init__(self, database: Database, shards: ShardMap) -> None:
        self._database = database
        self._shards = shards
        self._claims: dict[int, Claim] = {}
        self._watchers: list[Callable[[], None]] = []

    @property
    def shards(self) -> ShardMap:
        return self._shards

    async def read_shards(self) -> ShardMap:
        # From the file: whoever published may have been cancelled before it was told that the map is stored.
        row = await self._database.read(lambda connection: connection.execute("SELECT map FROM shards").fetchone())
        self._see(ShardMap.decode(row[0]))
        return self._shards

    async def publish(self, shards: ShardMap) -> bool:
        def work(connection: sqlite3.Connection) -> bool:
            stored = ShardMap.decode(connection.execute("SELECT map FROM shards").fetchone()[0])
            if shards.version != stored.version + 1:
                return False
            connection.execute("UPDATE shards SET map = ?", (shards.encode().decode(),))
            return True

        if not await self._database.write(work):
            return False
        self._see(shards)
        return True

    def claims(self) -> Mapping[int, Claim]:
        return dict(self._claims)

    async def read_claims(self) -> Mapping[int, Claim]:
        return dict(self._claims)

    async def claim(self, partition: int, instance: Instance) -> Claim | None:
        if partition in self._claims:
            return None

        def work(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO claims VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET newest = newest + 1")
            return int(connection.execute("SELECT newest FROM claims").fetchone()[0])

        self._claims[partition] = claim = Claim(partition, await self._database.write(work), instance)
        self._tell()
        return claim

    async def release(self, claim: Claim) -> None:
        if self._claims.get(claim.partition) == claim:
            del self._claims[claim.partition]
            self._tell()

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed)

    def _see(self, shards: ShardMap) -> None:
        if shards.version > self._shards.version:
            self._shards = shards
            self._tell()

    def _tell(self) -> None:
        for watcher in list(self._watchers):
            watcher()


@asynccontextmanager
async def open_coordination(folder: Path, partitions: int) -> AsyncIterator[SqliteCoordination]:
    """The file in a folder, for as long as the block lasts. One that is made now deals the shards to so many partitions,
    unless the log beside it, of an older version of this program, says otherwise."""
    async with open_database(folder / COORDINATION_FILE, SCHEMA) as database:

        def work(connection: sqlite3.Connection) -> ShardMap:
            row = connection.execute("SELECT map FROM shards").fetchone()
            if row is not None:
                return ShardMap.decode(row[0])
            shards, claim = _of_an_older_log(folder / "log.sqlite") or (ShardMap.initial(partitions), 0)
            connection.execute("INSERT INTO shards VALUES (1, ?)", (shards.encode().decode(),))
            connection.execute("INSERT INTO claims VALUES (1, ?)", (claim,))
            return shards

        yield SqliteCoordination(database, await database.write(work))


def _of_an_older_log(path: Path) -> tuple[ShardMap, int] | None:
    """What version 0.1 kept in the log's file: the map, and the newest claim."""
    if not path.exists():
        return None
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        try:
            partitions = connection.execute("SELECT partitions FROM partitions").fetchone()
            claim = connection.execute("SELECT claim FROM claims").fetchone()
            era = connection.execute("SELECT MAX(era) FROM eras").fetchone()[0]
        except sqlite3.OperationalError:
            return None  # a newer one: it never had these tables
    if partitions is None:
        return None
    return ShardMap(partitions[0], partitions[0], incident=era or 1), claim[0] if claim is not None else 0
