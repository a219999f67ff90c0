"""Several owners, each behind a server of its own, and nodes that reach them over gRPC: one installation in one process.

Who owns what is up to the test, and so is when an instance dies. Time is the machine's.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from svc.delivery.owner import Owner
from svc.delivery.streams import OwnerStreams
from svc.delivery.wire import ProtoEncoder as OwnersEncoder
from svc.kernel.channels import Channels
from svc.kernel.clock import Clock, SystemClock
from svc.kernel.coordination import Coordination
from svc.kernel.errors import StonechatError, Transient
from svc.kernel.ids import SnowflakeGenerator, direct_conversation
from svc.kernel.lifecycle import owned
from svc.kernel.record import Kind
from svc.kernel.registry import Instance
from svc.kernel.relay import Answer
from svc.kernel.settings import for_tests
from svc.kernel.switches import Switches
from svc.messaging.adapters.relay import ChoosingRelay, GrpcRelay
from svc.messaging.adapters.sqlite import SqliteConversations, SqliteReadMarks
from svc.messaging.model import Draft
from svc.messaging.node import Node
from svc.messaging.session import Session
from svc.messaging.wire import ProtoEncoder
from tests.contracts.owner import Stand, open_stand, until
from tests.contracts.relays import INNER_TOKEN, serving
from tests.messaging.world import People, identity, told


class Host:
    """One delivery instance: the real owner, streams and servicer."""

    def __init__(self, stand: Stand, name: str) -> None:
        self.name = name
        self.instance = Instance("", name)
        self._stand = stand
        self._life = AsyncExitStack()
        clock = stand.clock
        encoder = OwnersEncoder(clock, SnowflakeGenerator(clock))
        self.owner = Owner(stand.log, stand.store, encoder, clock, stand.tracer, stand.coordination)

    async def start(self) -> None:
        """It is up, and owns nothing."""
        streams = OwnerStreams()
        streams.owner = self.owner
        address = await self._life.enter_async_context(serving(self._stand, streams))
        await self._life.enter_async_context(owned(self.owner.run(), f"owner {self.name}"))
        self.instance = Instance(address, self.name)
        await self._stand.registry.register("delivery", self.instance)

    async def take(self, *partitions: int) -> None:
        """Claim partitions that nobody owns."""
        with self.owner.loader.coming(partitions):
            made = [await self._stand.coordination.claim(partition, self.instance) for partition in partitions]
            await self.owner.take([claim for claim in made if claim is not None])

    async def give(self, partition: int) -> None:
        """Hand one back, through all its steps."""
        claim = self.owner.claims[partition]
        await self.owner.give(partition)
        await self._stand.coordination.release(claim)

    async def lose(self, partition: int) -> None:
        """A claim that is lost: whatever is half done stays so."""
        claim = self.owner.claims[partition]
        self.owner.drop(partition)
        await self._stand.coordination.release(claim)

    async def die(self) -> None:
        """The process is killed. What it claimed and that it was up is forgotten with its session, a little later."""
        claims = list(self.owner.claims.values())
        await self._life.aclose()
        for claim in claims:
            await self._stand.coordination.release(claim)
        await self._stand.registry.deregister("delivery", self.instance)

    def cut(self) -> None:
        """Every stream of it breaks."""
        self.owner.hub.close_all()

    async def close(self) -> None:
        """End it, if it still lives."""
        await self._life.aclose()


class Installation:
    """The hosts by name, and the nodes."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.hosts: dict[str, Host] = {}
        self.people = People()
        self._life = AsyncExitStack()

    async def host(self, name: str, *partitions: int) -> Host:
        """One more instance, which owns these."""
        host = self.hosts[name] = Host(self.stand, name)
        self._life.push_async_callback(host.close)
        await host.start()
        await host.take(*partitions)
        return host

    async def node(self, name: str, coordination: Coordination | None = None, clock: Clock | None = None) -> Node:
        """One more messaging node; `coordination`: what it sees instead of the truth."""
        stand = self.stand
        channels = Channels(stand.registry, INNER_TOKEN)
        self._life.push_async_callback(channels.close)
        node = Node(
            name,
            for_tests(Path("/nowhere"), send_timeout_ms=60_000),
            clock or SystemClock(),
            stand.log,
            coordination or stand.coordination,
            stand.registry,
            ChoosingRelay(name, None, GrpcRelay(channels)),
            SqliteConversations(stand.messages),
            SqliteReadMarks(stand.messages),
            self.people,
            ProtoEncoder(),
            stand.tracer,
            Switches(),
        )
        await self._life.enter_async_context(node.running())
        return node

    def owner_of(self, partition: int) -> Host | None:
        """Who has claimed it."""
        claim = self.stand.coordination.claims().get(partition)
        return self.hosts[claim.instance.boot_id] if claim is not None else None

    def between(self, partition: int) -> tuple[str, str, str]:
        """Two users and their conversation, which lives in that partition."""
        for number in range(2, 1000):
            name = direct_conversation("u1", f"u{number}")
            if self.stand.coordination.shards.partition_of(name) == partition:
                self.people.users |= {"u1", f"u{number}"}
                return "u1", f"u{number}", name
        raise AssertionError("there are that many")

    async def close(self) -> None:
        """End everything, the nodes first."""
        await self._life.aclose()


@asynccontextmanager
async def installation(folder: Path) -> AsyncIterator[Installation]:
    """Nobody is up yet."""
    async with open_stand(folder) as stand:
        made = Installation(stand)
        try:
            yield made
        finally:
            await made.close()


async def send(node: Node, sender: str, to: str, key: str) -> Answer:
    """Send until it is acknowledged, as clients do."""
    body = bodies.Message(type="text", content=key).SerializeToString()
    while True:
        try:
            return (await node.send(sender, Draft(Kind.MESSAGE, to, body, key), 60.0, ""))[1]
        except Transient:
            await asyncio.sleep(0.01)


class Client:
    """A session, and how far its client was told that each conversation goes. What is pushed has to follow what was told."""

    def __init__(self, node: Node, user: str) -> None:
        self.user = user
        self.told: dict[str, int] = {}
        self.pushed = 0
        self.complete = asyncio.Event()
        self._node = node

    async def run(self) -> None:
        """Connect, listen, and connect again with what is known, until cancelled."""
        while True:
            session = self._node.enter(identity(self.user))
            reading = asyncio.create_task(self._read(session))
            try:
                await self._node.open(session)
                await self._node.greet(session, dict(self.told))
                await reading
            except StonechatError:
                await asyncio.sleep(0.01)
            finally:
                reading.cancel()
                self._node.leave(session)

    async def _read(self, session: Session) -> None:
        greeted, early, pushed = False, dict[str, int](), dict[str, int]()
        while not session.ended.is_set():
            await session.outbox.wait()
            for event in told(session.outbox.take()):
                match event.WhichOneof("payload"):
                    case "hello_page":
                        assert not event.hello_page.gone
                        for head in event.hello_page.conversations:
                            early[head.conversation_id] = max(head.last_seq, early.get(head.conversation_id, 0))
                        if event.hello_page.complete:
                            greeted = True
                            for name, seq in early.items():
                                self.told[name] = max(seq, self.told.get(name, 0))
                            self.complete.set()
                    case "behind":
                        name, seq = event.behind.conversation_id, event.behind.last_seq
                        self.told[name] = max(seq, self.told.get(name, 0))
                    case "conversation_event":
                        name, seq = event.conversation_event.conversation_id, event.conversation_event.seq
                        self.pushed += 1
                        assert seq > pushed.get(name, 0), f"{self.user}: {name} {seq} after {pushed[name]}"
                        pushed[name] = seq
                        known = self.told if greeted else early
                        limit = self.told.get(name, 0) + 1
                        assert not greeted or seq <= limit, f"{self.user}: {name} {seq}, {limit} was left out"
                        known[name] = max(seq, known.get(name, 0))


@asynccontextmanager
async def connected(node: Node, user: str) -> AsyncIterator[Client]:
    """A client that was greeted, for as long as the block lasts; what it found wrong is raised at the end."""
    client = Client(node, user)
    task = asyncio.create_task(client.run())
    greeted = asyncio.create_task(client.complete.wait())
    try:
        async with asyncio.timeout(60):
            await asyncio.wait((task, greeted), return_when=asyncio.FIRST_COMPLETED)
        yield client
        if task.done():
            task.result()
    finally:
        greeted.cancel()
        task.cancel()
        await asyncio.wait((task, greeted))


async def knows(client: Client, heads: dict[str, int]) -> None:
    """Wait until a client was told that conversations go so far."""

    async def there() -> bool:
        return all(client.told.get(name, 0) == seq for name, seq in heads.items())

    try:
        await until(there)
    except TimeoutError:
        raise AssertionError(f"{client.user} was told {client.told}, but there is {heads}") from None
