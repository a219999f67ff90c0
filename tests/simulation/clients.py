"""Clients as the client library is one: they count, and pull what they were not pushed."""

import asyncio
from typing import TYPE_CHECKING

from svc.kernel.record import Kind
from svc.kernel.relay import Event, Signal
from tests.simulation.replicas import bucket_events, fixed_of

if TYPE_CHECKING:
    from tests.simulation.nodes import NodeProcess
    from tests.simulation.world import World


class Ledger:
    """What a client has of one conversation: everything up to `have`, and some above; it was told that there is `wanted`."""

    __slots__ = ("above", "have", "pulling", "wanted")

    def __init__(self) -> None:
        self.have = 0
        self.wanted = 0
        self.above: set[int] = set()
        self.pulling = False

    def got(self, seq: int) -> None:
        self.wanted = max(self.wanted, seq)
        if seq > self.have:
            self.above.add(seq)
        while self.have + 1 in self.above:
            self.have += 1
            self.above.discard(self.have)


class Session:
    """`svc.messaging.subscriptions.Listener`: one stream of a client to one node. `cursor`: where each conversation stands."""

    def __init__(self, client: "Client", node: "NodeProcess") -> None:
        self.client = client
        self.node = node
        self.cursor: dict[str, int] = {}
        self.conversations: set[str] = set()

    def join(self, name: str) -> None:
        """Be told of a conversation from now on."""
        if name in self.conversations:
            return
        self.conversations.add(name)
        last = self.node.subscriptions.join(self, name)
        self.node.links.flush()
        if last is not None:
            self.joined(name, last)

    def leave(self, name: str) -> None:
        """No longer."""
        self.conversations.discard(name)
        self.cursor.pop(name, None)
        self.node.subscriptions.leave(self, [name], self.node.clock.monotonic())

    def joined(self, conversation_id: str, head: int) -> None:
        if not self._listens(conversation_id, f"joined at {head}"):
            return
        if conversation_id in self.cursor:
            self._fail("joined once", f"{conversation_id} at {self.cursor[conversation_id]}, again at {head}")
        self.cursor[conversation_id] = head
        self.client.told(conversation_id, head)

    def push(self, event: Event) -> None:
        name = event.conversation_id
        if not self._listens(name, f"pushed {event.seq}"):
            return
        if event.seq != self.cursor.get(name, -1) + 1:
            self._fail("pushed once, in order, without a gap", f"{name}:{event.seq} after {self.cursor.get(name)}")
        self.cursor[name] = event.seq
        self.client.pushed(event)

    def behind(self, conversation_id: str, head: int) -> None:
        if not self._listens(conversation_id, f"behind {head}"):
            return
        if head <= self.cursor.get(conversation_id, -1):
            self._fail("Behind looks forward", f"{conversation_id}: {head} after {self.cursor.get(conversation_id)}")
        self.cursor[conversation_id] = head
        self.client.told(conversation_id, head)

    def signal(self, signal: Signal) -> None:
        self._listens(signal.conversation_id, "signal")

    def _listens(self, name: str, what: str) -> bool:
        if name not in self.conversations or self.client.session is not self:
            self._fail("nothing after leaving", f"{name}: {what}")
            return False
        return True

    def _fail(self, invariant: str, text: str) -> None:
        self.client.world.fail(invariant, f"{self.client.user} at {self.node.name}: {text}")


class Client:
    """A user's device. It follows conversations through one node at a time."""

    def __init__(self, world: "World", user: str) -> None:
        self.world = world
        self.user = user
        self.session: Session | None = None
        self.ledgers: dict[str, Ledger] = {}

    def connect(self, node: "NodeProcess") -> None:
        """Leave the node before, and join everything at another."""
        self.disconnect()
        self.session = Session(self, node)
        self.world.trace(self.user, "connects", f"to {node.name}")
        for name in list(self.ledgers):
            self.session.join(name)

    def disconnect(self) -> None:
        """Close the stream."""
        if self.session is not None:
            session, self.session = self.session, None
            if session.node.alive:
                session.node.subscriptions.leave(session, session.conversations, session.node.clock.monotonic())

    def follow(self, name: str) -> None:
        """Become part of a conversation."""
        if name not in self.ledgers:
            self.ledgers[name] = Ledger()
        if self.session is not None:
            self.session.join(name)

    def stop(self, name: str) -> None:
        """Look away; what is known of it stays."""
        if self.session is not None:
            self.session.leave(name)

    def pushed(self, event: Event) -> None:
        right = self.world.reference.event(event.conversation_id, event.seq)
        if right is None or event.frame not in self.world.checker.frames(right):
            self.world.fail("pushed as stored", f"{self.user}: {event.conversation_id}:{event.seq}")
            return
        if missing := self.world.checker.lacks(right):
            self.world.fail("you never see what you cannot fetch", f"{event.conversation_id}:{event.seq}: {missing}")
        ledger = self.ledgers[event.conversation_id]
        ledger.got(event.seq)
        self._pull(event.conversation_id, ledger)
        if event.kind in (Kind.OPENED, Kind.JOINED):
            self.follow(event.subjects[0])

    def told(self, name: str, head: int) -> None:
        """There are events up to head."""
        ledger = self.ledgers[name]
        ledger.wanted = max(ledger.wanted, head)
        self._pull(name, ledger)

    def _pull(self, name: str, ledger: Ledger) -> None:
        if ledger.have < ledger.wanted and not ledger.pulling:
            ledger.pulling = True
            self.world.spawn(self._pull_all(name, ledger))

    async def _pull_all(self, name: str, ledger: Ledger) -> None:
        while ledger.have < ledger.wanted:
            low, high = ledger.have + 1, ledger.wanted
            await asyncio.sleep(self.world.delay())
            if self.world.chance(self.world.weather.read_fails):
                continue
            self._fetch(name, low, high, ledger)
            if ledger.have < high:
                return
        ledger.pulling = False

    def _fetch(self, name: str, low: int, high: int, ledger: Ledger) -> None:
        found: set[int] = set()
        for bucket in range(low // bucket_events(), high // bucket_events() + 1):
            for seq, cells in self.world.store.scan(name, bucket, low, high):
                right = self.world.reference.event(name, seq)
                if right is None or cells.fixed != fixed_of(right):
                    self.world.fail("the log decides", f"{self.user} pulls {name}:{seq} as {cells.fixed}")
                    return
                found.add(seq)
                ledger.got(seq)
                if right.kind in (Kind.OPENED, Kind.JOINED):
                    self.follow(right.record.joined[0])
        missing = [seq for seq in range(low, high + 1) if seq not in found]
        if missing:
            self.world.fail("you never see what you cannot fetch", f"{self.user} was told {name}:{high}, no {missing}")
