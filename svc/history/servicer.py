"""How HistoryService is called."""

from stonechat.history.v1 import history_service_pb2 as api
from svc.history import wire
from svc.history.history import History
from svc.kernel.calls import Call


class HistoryServicer:
    """`stonechat.history.v1.HistoryService`."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def ListMessages(self, request: api.ListMessagesRequest, call: Call) -> api.ListMessagesResponse:
        window = wire.to_window(request)
        return wire.from_messages(await self._history.messages(call.caller.user_id, request.conversation_id, window))

    async def ListEvents(self, request: api.ListEventsRequest, call: Call) -> bytes:
        limit = request.limit or wire.EVENTS_LIMIT
        return wire.from_run(
            await self._history.events(call.caller.user_id, request.conversation_id, request.after_seq, limit)
        )

    async def ListConversations(
        self, request: api.ListConversationsRequest, call: Call
    ) -> api.ListConversationsResponse:
        after, limit = wire.from_token(request.page_token), request.page_size or wire.CONVERSATIONS_LIMIT
        page, following = await self._history.conversations(call.caller.user_id, after, limit)
        return wire.from_conversations(page, following)
