"""The public calls of Stonechat as methods. `Client.connect` opens the session on which events come."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.groups.v1 import membership_pb2
from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import event_pb2
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.users.v1 import user_service_pb2 as users
from stonechat_client.cache import Cache, MemoryCache
from stonechat_client.calls import Calls
from stonechat_client.errors import ClientError, SignedOut, WrongUser
from stonechat_client.ledger import Ledger, NoLedger
from stonechat_client.session import Session

_USERS = "/stonechat.users.v1.UserService/"
_GROUPS = "/stonechat.groups.v1.GroupService/"
_HISTORY = "/stonechat.history.v1.HistoryService/"
_MESSAGING = "/stonechat.messaging.v1.MessagingService/"


def new_id() -> str:
    """An id for one request that is meant once: repeat it with the same id as often as needed."""
    return uuid.uuid4().hex


class Client:
    """One device of one user. `server` is `http://host:port`. Every method raises ClientError; all are safe to cancel.

    `cache` is what the device keeps (conversations, queue, sign-in), of the running program unless it is a `SqliteCache`;
    `ledger` writes down what it sees. Both are closed with the client.
    """

    def __init__(self, server: str, cache: Cache | None = None, ledger: Ledger | None = None) -> None:
        self.cache: Cache = cache if cache is not None else MemoryCache()
        self._ledger: Ledger = ledger if ledger is not None else NoLedger()
        self._calls = Calls(server, self.cache.keep_device)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._calls.close()
        self.cache.close()
        self._ledger.close()

    # Accounts

    @property
    def device_id(self) -> str:
        """The device that is signed in; empty when none is."""
        return self._calls.tokens.device_id

    @property
    def user_id(self) -> str:
        """Who is signed in; empty when nobody is."""
        return self._calls.tokens.user_id

    async def register(self, username: str, password: str, display_name: str = "") -> str:
        """Create an account; returns its user id. CallFailed with reason USERNAME_TAKEN when there is one."""
        request = users.RegisterRequest(
            username=username, password=password, display_name=display_name, client_request_id=new_id()
        )
        return (await self._calls.public(_USERS + "Register", request, users.RegisterResponse)).user_id

    async def sign_in(self, username: str, password: str, device_name: str = "") -> str:
        """Make this a device of the user; returns the user id. CallFailed with reason WRONG_CREDENTIALS; WrongUser when the
        cache is somebody else's."""
        request = users.SignInRequest(username=username, password=password, device_name=device_name)
        signed_in = await self._calls.public(_USERS + "SignIn", request, users.SignInResponse)
        try:
            self.cache.belong_to(signed_in.user_id)
        except WrongUser:
            # Nobody will ever use this device. If that cannot be said now, it ends when it was not used for long.
            unused = users.RevokeDeviceRequest(device_id=signed_in.device_id)
            with suppress(ClientError):
                await self._calls.proved(
                    _USERS + "RevokeDevice", unused, users.RevokeDeviceResponse, signed_in.access_token
                )
            raise
        self._calls.tokens.take(signed_in)
        return self.user_id

    async def resume(self) -> bool:
        """Go on as the device that the cache keeps. False when there is none, or it was signed out: then `sign_in`. True also
        when the server cannot be reached now."""
        device = self.cache.device()
        if device is None:
            return False
        self._calls.tokens.restore(device)
        try:
            await self._calls.tokens.access()
        except SignedOut:
            self.cache.keep_device(None)
            return False
        except ClientError:
            pass  # the session asks again
        return True

    async def sign_out(self) -> None:
        """Sign this device out: nothing can be called with its tokens any more."""
        request = users.RevokeDeviceRequest(device_id=self._calls.tokens.device_id)
        await self._calls.private(_USERS + "RevokeDevice", request, users.RevokeDeviceResponse)
        self.cache.keep_device(None)

    async def refresh(self) -> None:
        """Exchange the tokens now. Calls and sessions do it by themselves when it is time."""
        await self._calls.tokens.renewed(await self._calls.tokens.access())

    async def find_user(self, username: str) -> users.User:
        """The user with this name. CallFailed with reason NOT_FOUND."""
        request = users.FindUserRequest(username=username)
        return (await self._calls.private(_USERS + "FindUser", request, users.FindUserResponse)).user

    async def get_user(self, user_id: str) -> users.User:
        """The user with this id. CallFailed with reason NOT_FOUND."""
        request = users.GetUserRequest(user_id=user_id)
        return (await self._calls.private(_USERS + "GetUser", request, users.GetUserResponse)).user

    # Messages

    def connect(self, known: Mapping[str, int] | None = None) -> Session:
        """A session, to be entered with `async with`; one at a time. What the cache holds is known, and `known` says for a
        program with a store of its own how far (seq) it has which conversation: what came after is handed over. Of all other
        conversations only what comes from now on; the rest is history."""
        return Session(self._calls, self.cache, self._ledger, known or {})

    async def send(self, to: str, content: str, client_message_id: str = "") -> messaging.SendMessageResponse:
        """Send without a session. To repeat it after NotReachable or UNAVAILABLE, give the same `client_message_id`."""
        request = messaging.SendMessageRequest(
            to=to, content=content, type="text", client_message_id=client_message_id or new_id()
        )
        return await self._calls.private(_MESSAGING + "SendMessage", request, messaging.SendMessageResponse)

    async def mark_read(self, conversation_id: str, seq: int) -> None:
        """Say that everything up to seq was read."""
        request = messaging.MarkReadRequest(conversation_id=conversation_id, seq=seq)
        await self._calls.private(_MESSAGING + "MarkRead", request, messaging.MarkReadResponse)

    async def list_messages(
        self, conversation_id: str, *, before: str = "", after: str = "", limit: int = 50
    ) -> Sequence[history.Message]:
        """A page of messages, newest first: the newest, those older than the message id `before`, or the oldest of those
        newer than `after`. A page shorter than `limit` is the last that way."""
        request = history.ListMessagesRequest(
            conversation_id=conversation_id, last_message_id=before, after_message_id=after, limit=limit
        )
        answer = await self._calls.private(_HISTORY + "ListMessages", request, history.ListMessagesResponse)
        return answer.messages

    async def list_events(self, conversation_id: str, after_seq: int, limit: int = 100) -> history.ListEventsResponse:
        """Events behind a seq, oldest first and without holes."""
        request = history.ListEventsRequest(conversation_id=conversation_id, after_seq=after_seq, limit=limit)
        return await self._calls.private(_HISTORY + "ListEvents", request, history.ListEventsResponse)

    async def list_conversations(self) -> AsyncIterator[event_pb2.ConversationHead]:
        """All conversations of the user, most recent first; read page by page."""
        request = history.ListConversationsRequest(page_size=200)
        while True:
            answer = await self._calls.private(
                _HISTORY + "ListConversations", request, history.ListConversationsResponse
            )
            for head in answer.conversations:
                yield head
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    # Groups

    async def create_group(self, name: str, member_ids: Sequence[str], client_request_id: str = "") -> groups.Group:
        """A new group of the user and these members. Its id is also that of its conversation."""
        request = groups.CreateGroupRequest(
            name=name, member_ids=member_ids, client_request_id=client_request_id or new_id()
        )
        return (await self._calls.private(_GROUPS + "CreateGroup", request, groups.CreateGroupResponse)).group

    async def get_group(self, group_id: str) -> groups.Group:
        """A group of the user. CallFailed with reason NOT_FOUND."""
        request = groups.GetGroupRequest(group_id=group_id)
        return (await self._calls.private(_GROUPS + "GetGroup", request, groups.GetGroupResponse)).group

    async def add_members(self, group_id: str, user_ids: Sequence[str]) -> groups.Group:
        """Add users to a group."""
        request = groups.AddMembersRequest(group_id=group_id, user_ids=user_ids)
        return (await self._calls.private(_GROUPS + "AddMembers", request, groups.AddMembersResponse)).group

    async def remove_member(self, group_id: str, user_id: str) -> groups.Group:
        """Remove somebody from a group."""
        request = groups.RemoveMemberRequest(group_id=group_id, user_id=user_id)
        return (await self._calls.private(_GROUPS + "RemoveMember", request, groups.RemoveMemberResponse)).group

    async def leave_group(self, group_id: str) -> None:
        """Leave a group."""
        request = groups.LeaveGroupRequest(group_id=group_id)
        await self._calls.private(_GROUPS + "LeaveGroup", request, groups.LeaveGroupResponse)

    async def list_members(self, group_id: str) -> AsyncIterator[membership_pb2.Member]:
        """All members of a group, by user id; read page by page."""
        request = groups.ListMembersRequest(group_id=group_id, page_size=500)
        while True:
            answer = await self._calls.private(_GROUPS + "ListMembers", request, groups.ListMembersResponse)
            for member in answer.members:
                yield member
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token
