"""The rules of reading: who may, from where, and how much."""

from collections.abc import Sequence

from svc.history.model import Conversation, Place, Run, StoredEvent, Window
from svc.history.ports import MessageStore
from svc.kernel.errors import InvalidField, NotFound
from svc.kernel.ids import MAX_SNOWFLAKE, MessageRef, inbox_of

MAX_ANSWER_BYTES = 1_000_000


class History:
    """All conversations. `caller` is always the user who asks. Raises `CallerError`s as said, and `Unavailable`."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store

    async def messages(self, caller: str, conversation_id: str, window: Window) -> Sequence[StoredEvent]:
        """The messages asked for, newest first. Fewer than the limit means that there are no more that way.

        Raises NotFound; InvalidField when the message to start from is none of this conversation.
        """
        await self._must_see(caller, conversation_id)
        if window.after is not None:
            await self._must_stand("after_message_id", conversation_id, window.after)
            oldest_first = await self._store.messages_after(conversation_id, window.after.seq, window.limit)
            return oldest_first[::-1]
        if window.before is not None:
            await self._must_stand("last_message_id", conversation_id, window.before)
        below = window.before.seq if window.before is not None else None
        return await self._store.messages_before(conversation_id, below, window.limit)

    async def events(self, caller: str, conversation_id: str, after_seq: int, limit: int) -> Run:
        """The events behind `after_seq`, oldest first; an answer of more than 1 MB ends before its limit. Raises NotFound."""
        await self._must_see(caller, conversation_id)
        # Above every seq there can be, and still a number that stores know.
        after_seq = min(after_seq, MAX_SNOWFLAKE)
        return await self._store.run_after(conversation_id, after_seq, limit, MAX_ANSWER_BYTES)

    async def conversations(
        self, caller: str, after: Place | None, limit: int
    ) -> tuple[Sequence[Conversation], Place | None]:
        """Up to `limit` of the caller's conversations behind a place (None: from the first), most recent first, and the
        place behind which the next page begins: None when this is the last.

        One that moves up between two pages is before the first of them then: no page shows it twice.
        """
        found = await self._store.conversations(caller, after, limit + 1)
        page = found[:limit]
        return page, page[-1].place if len(found) > limit else None

    async def _must_see(self, caller: str, conversation_id: str) -> None:
        # Missing, forbidden and misspelt answer alike: nobody learns which conversations there are.
        if conversation_id != inbox_of(caller) and not await self._store.is_member(caller, conversation_id):
            raise NotFound("no such conversation", field="conversation_id")

    async def _must_stand(self, field: str, conversation_id: str, ref: MessageRef) -> None:
        if await self._store.record_id(conversation_id, ref.seq) != ref.record_id:
            raise InvalidField(field, "must name a message of this conversation")
