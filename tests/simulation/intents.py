"""What clients ask for, and how they insist until they are answered."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from stonechat.groups.v1.membership_pb2 import MembershipChange
from stonechat.messaging.v1 import conversation_event_pb2 as events
from svc.delivery.model import Key
from svc.kernel.errors import Expired, IdempotencyConflict, NotFound, StonechatError, Transient, Unprocessable
from svc.kernel.ids import SYSTEM, message_id
from svc.kernel.record import Kind, Record
from svc.kernel.relay import Answer

if TYPE_CHECKING:
    from tests.simulation.nodes import NodeProcess
    from tests.simulation.world import World

GIVE_UP_SECONDS = 30.0


@dataclass(slots=True)
class Intent:
    """One request, whatever it takes. `seconds`: its records are void so long after they were made; 0: never."""

    kind: Kind
    conversation_id: str
    sender_id: str
    client_message_id: str
    body: bytes
    target: tuple[int, int] = (0, 0)  # seq, record id
    seconds: float = 0.0
    version: int = 0
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    answer: Answer | StonechatError | None = None
    records: list[int] = field(default_factory=list)

    @property
    def key(self) -> Key:
        """What makes it one request."""
        return Key(self.conversation_id, self.sender_id, self.client_message_id)

    def record(self, record_id: int, node: str, request_id: int, now_us: int) -> Record:
        """One attempt."""
        return Record(
            self.kind,
            self.conversation_id,
            self.sender_id,
            self.client_message_id,
            record_id,
            self.body,
            self.target[0],
            self.target[1],
            now_us + int(self.seconds * 1e6) if self.seconds else 0,
            node,
            request_id,
            version=self.version,
            joined=self.joined,
            left=self.left,
        )


class People:
    """Makes intents, sends them, and knows which were acknowledged."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._number = 0
        self._versions: dict[str, int] = {}
        self.waiting: dict[int, Intent] = {}
        self.messages: dict[str, list[tuple[Intent, Answer]]] = {}
        self.answers: dict[str, int] = {}

    # What they want

    def message(self, name: str, sender: str, text: str = "", seconds: float = 0.0) -> Intent:
        self._number += 1
        body = events.Message(content=text or f"text {self._number}").SerializeToString()
        return Intent(Kind.MESSAGE, name, sender, f"c{self._number}", body, seconds=seconds)

    def change(self, kind: Kind, target: Intent, seq: int, record_id: int, sender: str | None = None) -> Intent:
        """Edit, withdraw or react to a message."""
        self._number += 1
        named = message_id(record_id, seq)
        if kind is Kind.EDIT:
            body = events.Edit(message_id=named, content=f"edit {self._number}").SerializeToString()
        elif kind is Kind.WITHDRAWAL:
            body = events.Withdrawal(message_id=named).SerializeToString()
        else:
            body = events.Reaction(message_id=named, emoji="+").SerializeToString()
        by = sender or target.sender_id
        return Intent(kind, target.conversation_id, by, f"c{self._number}", body, target=(seq, record_id))

    def membership(self, group: str, joined: tuple[str, ...], left: tuple[str, ...]) -> Intent:
        """The next change of a group's members; its outbox sends it."""
        version = self._versions[group] = self._versions.get(group, 0) + 1
        body = MembershipChange(version=version).SerializeToString()
        return Intent(
            Kind.MEMBERSHIP, group, SYSTEM, f"~members.{version}", body, version=version, joined=joined, left=left
        )

    def other_content(self, intent: Intent) -> Intent:
        """The same key, another text: not allowed."""
        return replace(intent, body=intent.body + b"\x12\x01!", answer=None, records=[])

    def repeat(self, intent: Intent) -> Intent:
        """The same once more, by somebody who does not know of the answer."""
        return replace(intent, answer=None, records=[])

    # How they get it

    def send(self, intent: Intent) -> None:
        """Ask until there is an answer."""
        self.waiting[id(intent)] = intent
        self._world.spawn(self._insist(intent))

    async def _insist(self, intent: Intent) -> None:
        while True:
            answer = await self._attempt(intent)
            if not isinstance(answer, Transient):
                break
            await asyncio.sleep(self._world.between(0.01, 0.5))
        intent.answer = answer
        del self.waiting[id(intent)]
        name = answer.outcome.name if isinstance(answer, Answer) else answer.reason
        self.answers[name] = self.answers.get(name, 0) + 1
        self._world.trace(intent.sender_id, "answered", f"{intent.client_message_id} {name}")
        if isinstance(answer, Answer):
            self._world.checker.acknowledged(intent.key, answer)
            if intent.kind is Kind.MESSAGE:
                self.messages.setdefault(intent.conversation_id, []).append((intent, answer))
        elif not isinstance(answer, IdempotencyConflict | Expired | NotFound | Unprocessable):
            self._world.fail("the right answer", f"{intent.key}: {answer!r}")

    async def _attempt(self, intent: Intent) -> Answer | StonechatError:
        node = self._world.some_node()
        if node is None:
            return Transient("no node lives")
        made = self.record(intent, node)
        partition = self._world.wrong_partition() if self._world.chance(self._world.wrong_map) else None
        future: asyncio.Future[Answer | StonechatError] = asyncio.get_running_loop().create_future()
        self._world.trace(
            node.name, "sends", f"{made.kind.name} {intent.key} record {made.record_id} {made.target_seq}"
        )

        def answered(answer: Answer | StonechatError) -> None:
            if not future.done():
                future.set_result(answer)

        node.send(made, self._world.between(1.0, 6.0), answered, partition)
        try:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                return await future
        except TimeoutError:
            return Transient("the client's own deadline")

    def record(self, intent: Intent, node: "NodeProcess") -> Record:
        """An attempt through a node."""
        record_id = self._world.next_id()
        intent.records.append(record_id)
        request_id = node.requests.next_id()
        self._world.checker.asked(node.boot_id, request_id, record_id)
        self._world.checker.reckoned(node)
        return intent.record(record_id, node.boot_id, request_id, node.clock.now_us())
