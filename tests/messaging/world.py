"""A real node over a real owner, on files in a folder. Time is the test's; who exists is a set."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stonechat.groups.v1.membership_pb2 import MembershipChange
from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from stonechat.messaging.v1.event_pb2 import Event
from stonechat.messaging.v1.messaging_service_pb2 import ConnectResponse
from svc.kernel.identity import Identity
from svc.kernel.ids import message_id
from svc.kernel.record import Kind, Record, from_system
from svc.kernel.relay import Answer
from svc.kernel.settings import for_tests
from svc.kernel.switches import Switches
from svc.messaging.adapters.sqlite import SqliteConversations, SqliteReadMarks
from svc.messaging.cursors import CursorSessions
from svc.messaging.model import Draft
from svc.messaging.node import Node
from svc.messaging.session import Session
from svc.messaging.wire import ProtoEncoder
from tests.contracts.owner import Stand, open_stand, owning
from tests.fakes import FakeClock

ALICE, BOB, CAROL = "u1", "u2", "u3"
DIRECT = "d.u1.u2"
GROUP = "g7"
SECONDS = 20.0


class StepClock(FakeClock):
    """The machine's time, standing still until a test moves it; who sleeps wakes when the moment has come."""

    def __init__(self) -> None:
        super().__init__()
        self.us = time.time_ns() // 1000
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.us + int(seconds * 1e6), future))
        await future

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        due = [future for until, future in self._sleepers if until <= self.us]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self.us]
        for future in due:
            if not future.done():
                future.set_result(None)


@dataclass
class People:
    """`Directory`: who exists, who is a member of groups, and which devices were signed out."""

    users: set[str] = field(default_factory=lambda: {ALICE, BOB, CAROL})
    members: set[tuple[str, str]] = field(default_factory=set)
    signed_out: set[str] = field(default_factory=set)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.answers.set()

    async def user_exists(self, user_id: str) -> bool:
        await self.answers.wait()
        return user_id in self.users

    async def is_group_member(self, user_id: str, group_id: str) -> bool:
        return (user_id, group_id) in self.members

    async def device_active(self, user_id: str, device_id: str) -> bool:
        await self.answers.wait()
        return device_id not in self.signed_out


@dataclass
class World:
    """Everything, and short ways to make things happen."""

    stand: Stand
    node: Node
    clock: StepClock
    people: People
    cursors: CursorSessions
    switches: Switches
    versions: int = 0

    async def send(self, sender: str, to: str, text: str, key: str = "") -> tuple[Record, Answer]:
        """A message, accepted, stored and answered."""
        body = bodies.Message(type="text", content=text).SerializeToString()
        return await self.node.send(sender, Draft(Kind.MESSAGE, to, body, key), 60.0, "")

    async def change_group(self, joined: tuple[str, ...] = (), left: tuple[str, ...] = (), group: str = GROUP) -> int:
        """Members join or leave; returns when that and what their inboxes are told is stored."""
        self.versions += 1
        body = MembershipChange(version=self.versions).SerializeToString()
        bare = from_system(Kind.MEMBERSHIP, group, f"v{self.versions}", self.stand.ids.next(), body)
        await self.stand.append(replace(bare, version=self.versions, joined=joined, left=left))
        for user in (*joined, *left):
            await self._told(user, group, bool(user in joined))
        return self.versions

    async def _told(self, user: str, group: str, member: bool) -> None:
        conversations = SqliteConversations(self.stand.messages)
        async with asyncio.timeout(SECONDS):
            while await conversations.is_member(user, group) != member:  # noqa: ASYNC110 - no event tells of it
                await asyncio.sleep(0.002)

    async def enter(self, user: str = ALICE, device: str = "phone", known: dict[str, int] | None = None) -> Session:
        """A session that said Hello."""
        session = self.node.enter(identity(user, device))
        await self.node.open(session)
        await self.node.greet(session, known or {})
        return session


def identity(user: str = ALICE, device: str = "phone") -> Identity:
    return Identity(user, device, float("inf"))


def draft(kind: Kind, conversation_id: str, target: str = "", key: str = "") -> Draft:
    """A change of a message."""
    return Draft(kind, conversation_id, b"", key, target)


def named(sent: tuple[Record, Answer]) -> str:
    """The message id that a sender is told."""
    return message_id(sent[1].record_id, sent[1].seq)


def told(frame: bytes) -> list[Event]:
    """The events in a frame."""
    return list(ConnectResponse.FromString(frame).events)


async def hear(session: Session, wanted: Callable[[Event], bool]) -> list[Event]:
    """What a session is told up to the first such event."""
    found: list[Event] = []
    async with asyncio.timeout(SECONDS):
        while not any(map(wanted, found)):
            await session.outbox.wait()
            found += told(session.outbox.take())
    return found


def is_event(conversation_id: str, seq: int) -> Callable[[Event], bool]:
    """Whether it is that event of that conversation."""
    return lambda event: (
        event.conversation_event.conversation_id == conversation_id and event.conversation_event.seq == seq
    )


@asynccontextmanager
async def open_world(folder: Path, **settings: Any) -> AsyncIterator[World]:
    """A node at work."""
    clock, people, switches = StepClock(), People(), Switches()
    chosen = for_tests(folder, **{"send_timeout_ms": 60_000, **settings})
    async with open_stand(folder) as stand, owning(stand):
        node = Node(
            "node",
            chosen,
            clock,
            stand.log,
            stand.coordination,
            stand.registry,
            stand.delivery.streams,
            SqliteConversations(stand.messages),
            SqliteReadMarks(stand.messages),
            people,
            ProtoEncoder(),
            stand.tracer,
            switches,
        )
        async with node.running():
            yield World(stand, node, clock, people, CursorSessions(node, clock), switches)
