"""People on the client library: each device keeps a ledger, some send at once, some queue, and one is a program of its own
with a cache on the disk, so that it can be killed too."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from stonechat_client import Client, Delivered, NotReachable, Problem, Refused, Session, State
from stonechat_client.ledger import FileLedger
from tests.faults.server import alive, until

PASSWORD = "correct horse"
_NAMES = ("ada", "bob", "cyd", "dan", "eve")
_PACE_SECONDS = 0.02
WANDERER = "wanda"


class Person:
    """One device of a user: it listens, and writes to a friend and to the group."""

    def __init__(self, client: Client, session: Session, name: str) -> None:
        self.client = client
        self.session = session
        self.name = name
        self.acknowledged = 0
        self.wrong: list[Problem | Refused] = []
        self.stopping = False

    async def listen(self) -> None:
        """Take whatever comes."""
        async for item in self.session:
            match item:
                case Problem() | Refused():
                    self.wrong.append(item)
                case Delivered():
                    self.acknowledged += 1

    async def send(self, to: str) -> None:
        """One message after the other, each when the one before is stored."""
        number = 0
        while not self.stopping:
            number += 1
            await self.session.send(to, f"{self.name} says {number}", f"{self.name}-{to}-{number}")
            self.acknowledged += 1
            await asyncio.sleep(_PACE_SECONDS)

    async def queue(self, to: str) -> None:
        """Messages into the queue, as long as few wait there."""
        number = 0
        while not self.stopping:
            if len(self.session.queued()) < 20:
                number += 1
                self.session.queue(to, f"{self.name} queues {number}", f"{self.name}-q{number}")
            await asyncio.sleep(_PACE_SECONDS)

    async def is_settled(self) -> bool:
        """Whether nothing of it waits, and it has everything that the server has."""
        if self.session.queued() or self.session.state is not State.LIVE:
            return False
        try:
            heads = [head async for head in self.client.list_conversations()]
        except NotReachable:
            return False
        spans = self.client.cache.spans()
        return all(
            spans[head.conversation_id].last == head.last_seq if head.conversation_id in spans else not head.last_seq
            for head in heads
        )


class Wanderer:
    """`tests/faults/wanderer.py` in a process of its own, killed and started again on the same files."""

    def __init__(self, url: str, folder: Path, group_id: str) -> None:
        self._command = [sys.executable, "-m", "tests.faults.wanderer", url, str(folder), WANDERER, PASSWORD, group_id]
        self._output = folder / "wanderer.txt"
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    def start(self) -> None:
        """Start it, or start it again."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=dict(os.environ)
            )

    async def kill(self) -> None:
        """SIGKILL in mid-work, and again from what it has on the disk."""
        assert self._process is not None
        assert alive(self._process.pid), self._output.read_text()
        self._process.kill()
        self._process.wait()
        self.kills += 1
        self.start()

    async def finish(self) -> None:
        """It sends what it has queued, catches up, and leaves."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        process = self._process
        await until(lambda: process.poll() is not None, "the wanderer has left", 120)
        assert process.returncode == 0, self._output.read_text()

    def discard(self) -> None:
        """End it, whatever it does."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


class Crowd:
    """All of them, at work."""

    def __init__(self, people: list[Person], wanderer: Wanderer, group_id: str) -> None:
        self.people = people
        self.wanderer = wanderer
        self._group_id = group_id
        self._listening = [asyncio.create_task(person.listen()) for person in people]
        self._writing: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Everybody writes."""
        friends = self.people[: len(_NAMES)]
        for number, person in enumerate(friends):
            friend = friends[(number + 1) % len(friends)]
            self._writing.append(asyncio.create_task(person.send(friend.client.user_id)))
            self._writing.append(asyncio.create_task(person.queue(self._group_id)))
        self.wanderer.start()

    @property
    def acknowledged(self) -> int:
        """Messages that were acknowledged so far, but for those of the wanderer."""
        return sum(person.acknowledged for person in self.people)

    async def more(self, count: int) -> None:
        """Wait until so many more messages are acknowledged."""
        goal = self.acknowledged + count
        await until(lambda: self.acknowledged >= goal or self._failed(), f"{count} more are acknowledged", 90)
        for task in (*self._writing, *self._listening):
            if task.done():
                task.result()

    async def settle(self) -> None:
        """Nobody writes any more; return when everything said is stored, and everybody has everything."""
        for person in self.people:
            person.stopping = True
        await asyncio.wait_for(asyncio.gather(*self._writing), 90)
        for person in self.people:  # before the wanderer leaves: whoever is gone sees no more
            await until(lambda person=person: not person.session.queued(), f"{person.name} has sent everything", 90)
        await self.wanderer.finish()
        for person in self.people:
            await until(person.is_settled, f"{person.name} has everything", 90)

    async def leave(self) -> None:
        """Stop at once."""
        tasks = (*self._writing, *self._listening)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.wanderer.discard()

    def _failed(self) -> bool:
        return any(task.done() for task in (*self._writing, *self._listening))


@asynccontextmanager
async def crowd(url: str, folder: Path) -> AsyncIterator[Crowd]:
    """Five people (one with two devices) and the wanderer, in a group of all. Their ledgers are in the folder."""
    async with AsyncExitStack() as stack:
        people = [await _device(stack, url, folder, name, name) for name in _NAMES]
        people.append(await _device(stack, url, folder, _NAMES[0], f"{_NAMES[0]}-too"))
        async with Client(url) as client:
            wanda = await client.register(WANDERER, PASSWORD)
        founder = people[0].client
        members = [wanda, *(person.client.user_id for person in people[1 : len(_NAMES)])]
        group = await founder.create_group("everybody", members)
        talk = Crowd(people, Wanderer(url, folder, group.group_id), group.group_id)
        try:
            for person in people:
                await until(lambda client=person.client: group.group_id in client.cache.spans(), "it is in the group")
            yield talk
        finally:
            await talk.leave()


async def _device(stack: AsyncExitStack, url: str, folder: Path, name: str, device: str) -> Person:
    client = await stack.enter_async_context(Client(url, ledger=FileLedger(folder / f"{device}.ledger")))
    if name == device:
        await client.register(name, PASSWORD)
    await client.sign_in(name, PASSWORD, device)
    return Person(client, await stack.enter_async_context(client.connect()), device)
