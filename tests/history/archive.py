"""A message store as delivery leaves it, one event at a time."""

from stonechat.messaging.v1.conversation_event_pb2 import Edit, Message, Reaction, Withdrawal
from svc.backends.messages_schema import CHANGE_LANE, MESSAGE_LANE, WITHDRAWN
from svc.kernel.ids import direct_conversation, message_id
from svc.kernel.record import Kind
from tests.history.rows import Rows

ALICE, BOB, CAROL = "u11", "u12", "u13"
DIRECT = direct_conversation(ALICE, BOB)
GROUP = "g77"
START_US = 1_750_000_000_000_000


class Archive:
    """Conversations and their events. Every event is a second and a microsecond later than the one before."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._events = 0
        self._heads: dict[str, tuple[int, int]] = {}

    def belongs(self, user_id: str, conversation_id: str, member: bool = True) -> None:
        """Make a user part of a conversation, or not part of it any more."""
        self._rows.listed(user_id, conversation_id, member)

    def read_up_to(self, user_id: str, conversation_id: str, seq: int) -> None:
        """Set a read mark."""
        self._rows.mark(user_id, conversation_id, seq)

    def message(self, text: str, conversation_id: str = DIRECT, sender_id: str = ALICE, key: str = "") -> str:
        """Store a message; returns its id."""
        body = Message(type="text", content=text).SerializeToString()
        return self.event(Kind.MESSAGE, body, conversation_id, sender_id, key)

    def edit(self, target: str, text: str) -> str:
        """Store an edit of a message, and change the message unless it was withdrawn before."""
        body = Edit(message_id=target, content=text).SerializeToString()
        edit = self.event(Kind.EDIT, body, target_seq=_seq(target))
        new = Message(type="text", content=text).SerializeToString()
        self._rows.body(DIRECT, _seq(target), new, _seq(edit))
        return edit

    def withdraw(self, target: str) -> str:
        """Store a withdrawal of a message, and empty the message."""
        body = Withdrawal(message_id=target).SerializeToString()
        withdrawal = self.event(Kind.WITHDRAWAL, body, target_seq=_seq(target))
        self._rows.body(DIRECT, _seq(target), b"", WITHDRAWN + _seq(withdrawal))
        return withdrawal

    def react(self, target: str, emoji: str, conversation_id: str = DIRECT) -> str:
        """Store a reaction to a message."""
        body = Reaction(message_id=target, emoji=emoji).SerializeToString()
        return self.event(Kind.REACTION, body, conversation_id, target_seq=_seq(target))

    def event(
        self,
        kind: int,
        body: bytes,
        conversation_id: str = DIRECT,
        sender_id: str = ALICE,
        key: str = "",
        target_seq: int = 0,
    ) -> str:
        """Store the next event of a conversation; returns its message id."""
        seq, ordinal = self._heads.get(conversation_id, (0, 0))
        self._events += 1
        seq, record_id = seq + 1, 900_000 + self._events
        lane = MESSAGE_LANE if kind == Kind.MESSAGE else CHANGE_LANE
        ordinal += lane == MESSAGE_LANE
        self._heads[conversation_id] = seq, ordinal
        fields = (conversation_id, lane, seq, int(kind), sender_id, record_id, key or f"~{record_id}")
        fields += (START_US + self._events * 1_000_001, ordinal, 0, 1, self._events, target_seq)
        self._rows.event(fields, body)
        return message_id(record_id, seq)


def _seq(message: str) -> int:
    return int(message.partition(".")[2])
