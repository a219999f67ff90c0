"""From what a client asks to a record: who it is for, whether the sender may, what it says (judged here, never later)."""

from collections import OrderedDict

from svc.kernel.clock import Clock
from svc.kernel.errors import InvalidField, NotFound, TargetNotChangeable
from svc.kernel.ids import (
    SnowflakeGenerator,
    direct_conversation,
    direct_members,
    is_group_id,
    is_user_id,
    parse_message_id,
)
from svc.kernel.record import CHANGES, Kind, Record, own_key
from svc.messaging.model import Draft
from svc.messaging.ports import Conversations, Directory
from svc.messaging.session import Session

_NOBODY = "must be a user, a group of yours, or a direct conversation of yours"
_KNOWN_USERS = 100_000


class Acceptance:
    """Turns drafts into records. `sessions` of a user on this node know what it is part of while their subscriptions live."""

    def __init__(
        self, conversations: Conversations, directory: Directory, ids: SnowflakeGenerator, clock: Clock, node: str
    ) -> None:
        self._conversations = conversations
        self._directory = directory
        self._ids = ids
        self._clock = clock
        self._node = node
        self._known_users: OrderedDict[str, None] = OrderedDict()
        self.sessions: dict[str, set[Session]] = {}

    async def record(
        self, user_id: str, draft: Draft, request_id: int, timeout_seconds: float, traceparent: str
    ) -> Record:
        """The record that asks for what the draft says. Raises InvalidField, NotFound, TargetNotChangeable, Unavailable."""
        if draft.kind in CHANGES:
            conversation_id = draft.to
            await self.require_member(user_id, conversation_id)
        else:
            conversation_id = await self._resolve(user_id, draft.to)
        ref = parse_message_id(draft.target)
        if draft.kind in CHANGES:
            await self._require_changeable(user_id, conversation_id, draft)
        record_id = self._ids.next()
        return Record(
            kind=Kind(draft.kind),
            conversation_id=conversation_id,
            sender_id=user_id,
            client_message_id=draft.client_message_id or own_key(record_id),
            record_id=record_id,
            body=draft.body,
            target_seq=ref.seq if ref else 0,
            target_record_id=ref.record_id if ref else 0,
            not_after_us=self._clock.now_us() + int(timeout_seconds * 1e6),
            node=self._node,
            request_id=request_id,
            traceparent=traceparent,
        )

    async def require_member(self, user_id: str, conversation_id: str) -> None:
        """Raises NotFound unless the user is part of the conversation: missing and forbidden answer alike."""
        if not await self._is_member(user_id, conversation_id):
            raise NotFound("conversation_id: no such conversation of yours", field="conversation_id")

    async def _is_member(self, user_id: str, conversation_id: str) -> bool:
        if any(session.sees(conversation_id) for session in self.sessions.get(user_id, ())):
            return not conversation_id.startswith("inbox.")
        members = direct_members(conversation_id)
        if (members is None or user_id not in members) and not is_group_id(conversation_id):
            return False
        if await self._conversations.is_member(user_id, conversation_id):
            return True
        # Who has just been added may write before the conversation's own event of it is stored.
        return members is None and await self._directory.is_group_member(user_id, conversation_id)

    async def _resolve(self, user_id: str, to: str) -> str:
        if is_user_id(to) and to != user_id:
            conversation_id = direct_conversation(user_id, to)
            other = to
        elif (members := direct_members(to)) is not None and user_id in members:
            conversation_id = to
            other = members[0] if members[1] == user_id else members[1]
        elif is_group_id(to) and await self._is_member(user_id, to):
            return to
        else:
            raise InvalidField("to", _NOBODY)
        if not await self._is_known(user_id, conversation_id, other):
            raise InvalidField("to", _NOBODY)
        return conversation_id

    async def _is_known(self, user_id: str, conversation_id: str, other: str) -> bool:
        # A user, once made, exists for ever; so does a conversation that has a message.
        if any(session.is_in(conversation_id) for session in self.sessions.get(user_id, ())):
            return True
        if other in self._known_users:
            self._known_users.move_to_end(other)
            return True
        if not await self._directory.user_exists(other):
            return False
        self._known_users[other] = None
        if len(self._known_users) > _KNOWN_USERS:
            self._known_users.popitem(last=False)
        return True

    async def _require_changeable(self, user_id: str, conversation_id: str, draft: Draft) -> None:
        ref = parse_message_id(draft.target)
        target = await self._conversations.target(conversation_id, ref.seq) if ref else None
        foreign = target is not None and draft.kind is not Kind.REACTION and target.sender_id != user_id
        if target is None or ref is None or target.record_id != ref.record_id or not target.is_message or foreign:
            raise NotFound("message_id: no such message of yours in this conversation", field="message_id")
        # Taking back what is taken back already is a repeat, perhaps under another id: it does no harm.
        if target.withdrawn and draft.kind != Kind.WITHDRAWAL:
            raise TargetNotChangeable("message_id: the message was withdrawn", field="message_id")
