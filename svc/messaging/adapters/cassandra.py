"""What messaging reads of the message store in Cassandra, and the read marks it keeps there (`svc.backends.messages_cql`)."""

from collections import defaultdict
from collections.abc import Sequence, Set

from svc.backends.cassandra import Cassandra, Insert
from svc.backends.messages_cql import bucket_of, is_seq
from svc.backends.messages_heads import Heads
from svc.backends.messages_schema import WITHDRAWN
from svc.kernel.ids import direct_members, inbox_user
from svc.kernel.record import Kind
from svc.messaging.model import Head, Membership, ReadMark, TargetState

_LIST = "SELECT conversation_id, version, member FROM conversations_by_user WHERE user_id = ?"
_MEMBER = "SELECT member FROM conversations_by_user WHERE user_id = ? AND conversation_id = ?"
_TARGET = (
    "SELECT sender_id, record_id, kind, body_version FROM events"
    " WHERE conversation_id = ? AND bucket = ? AND lane IN (0, 1) AND seq = ?"
)
_MARK = Insert("INSERT INTO read_marks (user_id, conversation_id, seq) VALUES (?, ?, ?) USING TIMESTAMP ?", key=1)


class CassandraConversations:
    """`svc.messaging.ports.Conversations` in one keyspace."""

    def __init__(self, cassandra: Cassandra) -> None:
        self._cassandra = cassandra
        self._heads = Heads(cassandra)

    async def of_user(self, user_id: str) -> Sequence[Membership]:
        rows = await self._cassandra.rows(_LIST, (user_id,))
        newest = await self._heads.newest(name for name, _, _ in rows)
        found = [Membership(name, version, member, newest[name].time_us) for name, version, member in rows]
        return sorted(found, key=lambda membership: -membership.time_us)

    async def member_of(self, user_id: str) -> Set[str]:
        return {name for name, _, member in await self._cassandra.rows(_LIST, (user_id,)) if member}

    async def is_member(self, user_id: str, conversation_id: str) -> bool:
        members = direct_members(conversation_id)
        if members is not None and user_id not in members:
            return False
        rows = await self._cassandra.rows(_MEMBER, (user_id, conversation_id))
        return bool(rows and rows[0][0])

    async def heads(self, user_id: str, conversation_ids: Sequence[str]) -> Sequence[Head]:
        newest = await self._heads.newest(conversation_ids)
        people = {name: head for name, head in newest.items() if inbox_user(name) is None}
        readings = await self._heads.readings(user_id, people)

        def head(name: str) -> Head:
            end, reading = newest[name], readings.get(name)
            if reading is None:
                return Head(name, end.seq, 0, 0, end.time_us)
            return Head(name, end.seq, reading.unread, reading.seq, end.time_us)

        return [head(name) for name in conversation_ids]

    async def target(self, conversation_id: str, seq: int) -> TargetState | None:
        if not is_seq(seq):
            return None
        for sender_id, record_id, kind, body_version in await self._cassandra.rows(
            _TARGET, (conversation_id, bucket_of(seq), seq)
        ):
            if kind is not None:
                return TargetState(sender_id, record_id, kind == Kind.MESSAGE, body_version >= WITHDRAWN)
        return None


class CassandraReadMarks:
    """`svc.messaging.ports.ReadMarks` in one keyspace. A mark's version is its seq, so the highest wins whoever writes last;
    two nodes that raise the same mark at the same time may both be told that it moved."""

    def __init__(self, cassandra: Cassandra) -> None:
        self._cassandra = cassandra
        self._heads = Heads(cassandra)

    async def advance(self, marks: Sequence[ReadMark]) -> Sequence[ReadMark]:
        wanted: dict[str, list[str]] = defaultdict(list)
        for mark in marks:
            wanted[mark.user_id].append(mark.conversation_id)
        newest = await self._heads.newest(mark.conversation_id for mark in marks)
        now = await self._heads.marks(wanted)
        moved = []
        for mark in marks:
            key = (mark.user_id, mark.conversation_id)
            seq = min(mark.seq, newest[mark.conversation_id].seq)
            if seq > now.get(key, 0):
                now[key] = seq
                moved.append(ReadMark(*key, seq))
        await self._cassandra.write([(_MARK, (it.user_id, it.conversation_id, it.seq, it.seq)) for it in moved])
        return moved
