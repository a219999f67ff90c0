"""What is done before and after the load, by unary calls: accounts, groups, pulling what was not pushed.

Here gRPC's own client will do: it lives in the parent, and its cost is in no measured window.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import grpc

from bench.client import Account
from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.groups.v1.group_service_pb2_grpc import GroupServiceStub
from stonechat.history.v1 import history_service_pb2 as history
from stonechat.history.v1.history_service_pb2_grpc import HistoryServiceStub
from stonechat.users.v1 import user_service_pb2 as users
from stonechat.users.v1.user_service_pb2_grpc import UserServiceStub

_AT_ONCE = 16
_CALL_SECONDS = 30.0
_MEMBERS_A_CALL = 100  # what the contract allows
_EVENTS_A_PAGE = 500
_PASSWORD = "correct horse battery"

Hole = tuple[str, str, int, int]
"""User, conversation, and the first and last seq that the user was not pushed."""


class Registrar:
    """Unary calls in the name of many users, over one channel. Calls raise grpc.aio.AioRpcError."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
        self._users: Any = UserServiceStub(self._channel)
        self._groups: Any = GroupServiceStub(self._channel)
        self._history: Any = HistoryServiceStub(self._channel)
        self._tokens: dict[str, str] = {}

    async def __aenter__(self) -> "Registrar":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._channel.close(grace=None)

    async def sign_up(self, count: int) -> list[Account]:
        """So many new users, each signed in once."""
        run = secrets.token_hex(4)

        async def one(index: int) -> Account:
            whom = {"username": f"bench-{run}-{index}", "password": _PASSWORD}
            await self._users.Register(users.RegisterRequest(**whom), timeout=_CALL_SECONDS)
            signed = await self._users.SignIn(users.SignInRequest(**whom), timeout=_CALL_SECONDS)
            self._tokens[signed.user_id] = signed.access_token
            return Account(signed.user_id, signed.access_token)

        return await _each(one, range(count))

    async def create_group(self, owner: Account, members: Sequence[Account]) -> str:
        """A group of these and its owner; returns its id."""
        bearer = self._bearer(owner.user_id)
        request = groups.CreateGroupRequest(name="bench", client_request_id=secrets.token_hex(8))
        group_id: str = (await self._groups.CreateGroup(request, timeout=_CALL_SECONDS, metadata=bearer)).group_id
        for at in range(0, len(members), _MEMBERS_A_CALL):
            some = [member.user_id for member in members[at : at + _MEMBERS_A_CALL]]
            added = groups.AddMembersRequest(group_id=group_id, user_ids=some)
            await self._groups.AddMembers(added, timeout=_CALL_SECONDS, metadata=bearer)
        return group_id

    async def heads(self, asked: Iterable[tuple[str, str]]) -> list[int]:
        """The newest stored seq of conversations, each as one of its users sees it: (user, conversation)."""

        async def one(of: tuple[str, str]) -> int:
            return (await self._events(*of, after=(1 << 62), limit=1)).last_seq

        return await _each(one, asked)

    async def pull(self, holes: Iterable[Hole]) -> int:
        """Fetch what was not pushed; returns how many messages of others are in there, each user's counted apart."""

        async def one(hole: Hole) -> int:
            user_id, conversation_id, first, last = hole
            count = 0
            while first <= last:
                page = await self._events(user_id, conversation_id, first - 1, min(_EVENTS_A_PAGE, last - first + 1))
                if not page.events:
                    break
                for event in page.events:
                    count += event.HasField("message") and event.sender_id != user_id
                first = page.events[-1].seq + 1
            return count

        return sum(await _each(one, holes))

    async def _events(self, user_id: str, conversation_id: str, after: int, limit: int) -> history.ListEventsResponse:
        request = history.ListEventsRequest(conversation_id=conversation_id, after_seq=after, limit=limit)
        answer: history.ListEventsResponse = await self._history.ListEvents(
            request, timeout=_CALL_SECONDS, metadata=self._bearer(user_id)
        )
        return answer

    def _bearer(self, user_id: str) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self._tokens[user_id]}"),)


async def _each(call: Callable[[Any], Awaitable[Any]], over: Iterable[Any]) -> list[Any]:
    """Call for each, so many at once; the results in order."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(item: Any) -> Any:
        async with turns:
            return await call(item)

    return await asyncio.gather(*map(one, over))
