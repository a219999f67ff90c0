"""The users service, asked over its inner contract."""

from collections.abc import Sequence

from stonechat.users.v1.directory_service_pb2 import CheckUsersRequest
from stonechat.users.v1.directory_service_pb2_grpc import DirectoryServiceStub
from svc.kernel.channels import Channels

_SECONDS = 2.0


class UsersService:
    """Serves `Users`."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def known(self, user_ids: Sequence[str]) -> frozenset[str]:
        stub = DirectoryServiceStub(self._channels.to("users"))
        answer = await self._channels.call(stub.CheckUsers, CheckUsersRequest(user_ids=user_ids), _SECONDS)
        return frozenset(answer.user_ids)
