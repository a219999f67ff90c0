"""Stonechat in many processes on real back ends: started, killed, looked into."""

import asyncio
import base64
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from svc.kernel import addresses
from svc.kernel.shards import ShardMap
from tests import real, tables
from tests.backends import cassandra as keyspaces
from tests.backends.kafka import remove_topics
from tests.contracts.coordinators import Ensemble
from tests.faults.server import START_SECONDS, Server, until

LAYOUT: Mapping[str, Sequence[str]] = {
    "front": ("edge", "users", "groups", "history"),
    "messaging-1": ("messaging",),
    "messaging-2": ("messaging",),
    "delivery-1": ("delivery",),
    "delivery-2": ("delivery",),
}
"""Process → what it serves."""
BACK_ENDS = ("kafka", "cassandra", "mysql", "redis", "zookeeper")


class Installation:
    """The processes of one installation, which has the back ends to itself by names of its own. For the population and the
    verdict of `tests.faults` it looks like one server."""

    def __init__(
        self,
        folder: Path,
        urls: Mapping[str, str] | None = None,
        layout: Mapping[str, Sequence[str]] = LAYOUT,
        **settings: str,
    ) -> None:
        self.folder = folder
        name = real.unique("faults")
        found = urls or {scheme: real.address(scheme, name) for scheme in BACK_ENDS}
        self.settings = {
            **{scheme.upper(): url for scheme, url in found.items()},
            "INNER_TOKEN": secrets.token_hex(32),
            "MASTER_KEYS": f"1:{base64.b64encode(secrets.token_bytes(32)).decode()}",
            **settings,
        }
        self.processes: dict[str, Server] = {}
        for process, roles in layout.items():
            self.add(process, roles)

    def add(self, process: str, roles: Sequence[str], **settings: str) -> Server:
        """One more process; not started."""
        home = self.folder / process
        home.mkdir()
        self.processes[process] = Server(home, roles, **self.settings, **settings)
        return self.processes[process]

    def __getitem__(self, process: str) -> Server:
        return self.processes[process]

    def serving(self, role: str) -> list[Server]:
        """The processes that run and have this role."""
        return [server for server in self.processes.values() if role in server.roles and server.runs()]

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return next(server.url for server in self.processes.values() if "edge" in server.roles)

    async def migrate(self) -> None:
        """Make the tables."""
        code, out, err = await self.command("migrate")
        assert code == 0, out + err

    async def start(self) -> None:
        """Make the tables, start everything, and return when it serves."""
        await self.migrate()
        cores = asyncio.Semaphore(2)  # more at once would only be slower each

        async def start(server: Server) -> None:
            async with cores:
                await server.start()

        await asyncio.gather(*map(start, self.processes.values()))
        await self.serves()

    async def serves(self) -> None:
        """Wait until every partition has an owner."""
        await until(self._is_owned, "every partition has an owner", START_SECONDS)

    async def owners(self) -> dict[int, str]:
        """Partition → the address of its owner, empty for none."""
        async with Ensemble(self.settings["ZOOKEEPER"]).coordination() as coordination:
            claims = await coordination.read_claims()
            return {
                partition: claims[partition].instance.address if partition in claims else ""
                for partition in range(coordination.shards.partitions)
            }

    async def shards(self) -> ShardMap:
        """Where each conversation lives."""
        async with Ensemble(self.settings["ZOOKEEPER"]).coordination() as coordination:
            return await coordination.read_shards()

    async def owner_of(self, conversation_id: str) -> Server:
        """The process that owns a conversation."""
        address = (await self.owners())[(await self.shards()).partition_of(conversation_id)]
        return next(server for server in self.serving("delivery") if server.url == address)

    async def _is_owned(self) -> bool:
        owners = await self.owners()
        return bool(owners) and all(owners.values())

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        """Run a `stonechat` command with the settings of all of them."""
        any_process = next(iter(self.processes.values()))
        return await any_process.command(*arguments)

    def errors(self) -> str:
        """What the newest run of each has said on stderr."""
        return "\n".join(f"--- {name}\n{server.errors()}" for name, server in self.processes.items())

    def said(self, part: str) -> bool:
        """Whether a log line of the newest run of any holds this text."""
        return any(server.said(part) for server in self.processes.values())

    async def stop(self) -> int:
        """SIGTERM to all; the highest exit code."""
        return max(await asyncio.gather(*(server.stop() for server in self.processes.values())))

    async def remove(self) -> None:
        """What it has left on the back ends, which others share."""
        cassandra = addresses.parse(addresses.CASSANDRA, self.settings["CASSANDRA"])
        await keyspaces.command(cassandra, f"DROP KEYSPACE IF EXISTS {cassandra.name}")
        await remove_topics(addresses.parse(addresses.KAFKA, self.settings["KAFKA"]))
        mysql = self.settings["MYSQL"]
        await tables.command(mysql, f"DROP DATABASE IF EXISTS {tables.parsed(mysql).name}")
        await asyncio.to_thread(Ensemble(self.settings["ZOOKEEPER"]).remove)

    def discard(self) -> None:
        """Whatever state they are in: end them."""
        for server in self.processes.values():
            server.discard()
