"""A small town whose history is made by the real owner on a real log and a real store, and whose clients wrote down what they
were pushed with the client library's own ledger.
"""

import asyncio
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from stonechat.messaging.v1 import conversation_event_pb2 as bodies
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Sent
from stonechat.messaging.v1.messaging_service_pb2 import ConnectResponse
from stonechat_client.ledger import FileLedger
from svc.groups import wire as groups
from svc.groups.model import Change, Member, Role
from svc.kernel.clock import SystemClock
from svc.kernel.eventlog import ACCEPTED, EVENTS, Entry
from svc.kernel.ids import SnowflakeGenerator, message_id
from svc.kernel.record import Kind, Record, to_entry
from svc.kernel.shards import ShardMap
from tests.contracts.owner import PARTITIONS, Stand, open_stand, owning, until

U1, U2, U3, U4 = "u1", "u2", "u3", "u4"
DIRECT, GROUP = "d.u1.u2", "g77"
SHARDS = ShardMap.initial(PARTITIONS)
Pushed = dict[str, list[ConversationEvent]]


@dataclass(frozen=True)
class Message:
    """A message that was appended, with the place that it must get."""

    record: Record
    seq: int

    @property
    def name(self) -> str:
        return message_id(self.record.record_id, self.seq)


@dataclass
class Script:
    """What is appended to the log, in order. It knows the number that each record gets: everything here is accepted."""

    entries: list[Entry] = field(default_factory=list)
    seqs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    versions: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ids: SnowflakeGenerator = field(default_factory=lambda: SnowflakeGenerator(SystemClock()))

    def say(self, conversation_id: str, sender_id: str, text: str) -> Message:
        body = bodies.Message(type="text", content=text).SerializeToString()
        return self._append(Kind.MESSAGE, conversation_id, sender_id, body)

    def again(self, message: Message) -> None:
        """A client repeats its send."""
        self.entries.append(to_entry(message.record, SHARDS))

    def edit(self, message: Message, text: str) -> Message:
        body = bodies.Edit(message_id=message.name, content=text, type="text").SerializeToString()
        return self._change(Kind.EDIT, message, body)

    def withdraw(self, message: Message) -> Message:
        return self._change(Kind.WITHDRAWAL, message, bodies.Withdrawal(message_id=message.name).SerializeToString())

    def react(self, message: Message) -> Message:
        return self._change(
            Kind.REACTION, message, bodies.Reaction(message_id=message.name, emoji="+1").SerializeToString()
        )

    def members(self, group_id: str, *joined: str, left: tuple[str, ...] = ()) -> int:
        """A change of a group; returns its seq."""
        self.versions[group_id] += 1
        entering = tuple(Member(user, Role.MEMBER) for user in joined)
        change = Change(group_id, self.versions[group_id], U1, entering, left)
        self.entries.append(to_entry(groups.record(change, self.ids.next()), SHARDS))
        self.seqs[group_id] += 1
        return self.seqs[group_id]

    def garbage(self, conversation_id: str) -> int:
        """What no version of the owner can process; returns its seq."""
        self.entries.append(Entry(SHARDS.partition_of(conversation_id), conversation_id, b"\xff\xff"))
        self.seqs[conversation_id] += 1
        return self.seqs[conversation_id]

    def _change(self, kind: Kind, message: Message, body: bytes) -> Message:
        record = message.record
        return self._append(kind, record.conversation_id, record.sender_id, body, message)

    def _append(
        self, kind: Kind, conversation_id: str, sender_id: str, body: bytes, target: Message | None = None
    ) -> Message:
        self.seqs[conversation_id] += 1
        number, seq = self.ids.next(), self.seqs[conversation_id]
        at = (target.seq, target.record.record_id) if target else (0, 0)
        record = Record(kind, conversation_id, sender_id, f"key-{number}", number, body, *at)
        self.entries.append(to_entry(record, SHARDS))
        return Message(record, seq)


async def live(folder: Path, script: Script) -> Pushed:
    """Let an owner take it all, and return what it pushed, inboxes included, by conversation."""
    async with open_stand(folder) as stand, owning(stand):
        for entry in script.entries:
            await stand.log.append(ACCEPTED, [entry])
        await until(lambda: _quiet(stand))
        pushed: Pushed = defaultdict(list)
        for partition, end in (await stand.log.end_offsets(EVENTS)).items():
            for logged in await stand.log.read(EVENTS, partition, 0, end):
                for event in ConnectResponse.FromString(logged.value).events:
                    told = event.conversation_event
                    pushed[told.conversation_id].append(told)
        return pushed


async def _quiet(stand: Stand) -> bool:
    # Notices to inboxes are appended before the commit of what caused them.
    committed = await stand.log.committed("delivery.1", ACCEPTED)
    ends = await stand.log.end_offsets(ACCEPTED)
    return all(committed.get(partition, 0) == end for partition, end in ends.items())


def write_ledger(path: Path, user: str, pushed: Pushed, members: dict[str, tuple[int, int | None]]) -> None:
    """One session of a client that saw everything: of each conversation the events above the first number, up to the second
    one (None: to the end), and was acknowledged what it sent. Its session began before everything else."""
    ledger = FileLedger(path)
    ledger.begin(user, f"v{user[1:]}")
    ledger.close()
    begun = path.read_text().splitlines()
    begun[0] = begun[0].replace(begun[0][begun[0].index('"at"') :], '"at":"2024-01-01T00:00:00Z"}')
    path.write_text("\n".join(begun) + "\n")
    ledger = FileLedger(path)
    for name, (above, end) in members.items():
        ledger.follows(name, above)
        for event in pushed[name]:
            if event.seq > above and (end is None or event.seq <= end):
                ledger.saw(event)
                if event.sender_id == user and event.client_message_id:
                    place = {"conversation_id": name, "seq": event.seq, "message_id": event.message_id}
                    ledger.sent(event.client_message_id, Sent(**place))
        if end is not None:
            ledger.left(name, end)
    ledger.close()


@dataclass
class Town:
    """The data folder, the folder of ledgers, and what was pushed."""

    folder: Path
    pushed: Pushed

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def ledgers(self) -> Path:
        return self.folder / "ledgers"

    def ledger(self, user: str) -> Path:
        return self.ledgers / f"{user}.ledger"

    def sql(self, *statements: str) -> None:
        """Change what is stored. Each statement must change something."""
        with closing(sqlite3.connect(self.data / "messages.sqlite")) as connection, connection:
            for statement in statements:
                assert connection.execute(statement).rowcount > 0, statement

    def value(self, query: str) -> object:
        with closing(sqlite3.connect(self.data / "messages.sqlite")) as connection:
            return connection.execute(query).fetchone()[0]

    def edit(self, user: str, *changes: tuple[str, str]) -> None:
        """Replace text in a ledger. Each piece must be there once."""
        text = self.ledger(user).read_text()
        for old, new in changes:
            assert text.count(old) == 1, (old, text.count(old))
            text = text.replace(old, new)
        self.ledger(user).write_text(text)

    def line(self, user: str, start: str) -> str:
        """The one line of a ledger that starts like this."""
        (line,) = [line for line in self.ledger(user).read_text().splitlines() if line.startswith(start)]
        return line + "\n"


def build(folder: Path) -> Town:
    """A history with everything in it. In DIRECT: 1 "hello", 2 an answer, 3 edited twice, 4 and 5 the edits, 6 withdrawn after
    an edit (7), 8 the withdrawal, 9 a reaction to 1, 10 garbage, 11 the end. In GROUP: u1 founds it with u2 and u3, talks, u3
    is removed (4), talk goes on, u4 comes (6)."""
    town = Town(folder, {})
    town.data.mkdir()
    town.ledgers.mkdir()
    script = Script()
    hello = script.say(DIRECT, U1, "hello")
    script.say(DIRECT, U2, "hello yourself")
    script.again(hello)
    edited = script.say(DIRECT, U1, "frist")
    script.edit(edited, "fisrt")
    script.edit(edited, "first")
    withdrawn = script.say(DIRECT, U2, "secret")
    script.edit(withdrawn, "secret indeed")
    script.withdraw(withdrawn)
    script.react(hello)
    script.garbage(DIRECT)
    script.say(DIRECT, U2, "the end")
    script.members(GROUP, U1, U2, U3)
    script.say(GROUP, U1, "welcome")
    script.say(GROUP, U3, "thank you")
    removed = script.members(GROUP, left=(U3,))
    script.say(GROUP, U1, "gone")
    joined = script.members(GROUP, U4)
    script.say(GROUP, U4, "hi all")
    town.pushed = asyncio.run(live(town.data, script))
    everything = (0, None)
    write_ledger(town.ledger(U1), U1, town.pushed, {DIRECT: everything, GROUP: everything, "inbox.u1": everything})
    write_ledger(town.ledger(U2), U2, town.pushed, {DIRECT: everything, GROUP: everything, "inbox.u2": everything})
    write_ledger(town.ledger(U3), U3, town.pushed, {GROUP: (0, removed), "inbox.u3": everything})
    write_ledger(town.ledger(U4), U4, town.pushed, {GROUP: (joined - 1, None), "inbox.u4": everything})
    return town
