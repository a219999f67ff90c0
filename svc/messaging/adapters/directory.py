"""What the users and groups services answer."""

from stonechat.groups.v1.membership_service_pb2 import CheckMemberRequest
from stonechat.groups.v1.membership_service_pb2_grpc import MembershipServiceStub
from stonechat.users.v1 import directory_service_pb2 as api
from stonechat.users.v1.directory_service_pb2_grpc import DirectoryServiceStub
from svc.kernel.channels import Channels

_SECONDS = 5.0


class ServicesDirectory:
    """`svc.messaging.ports.Directory` over gRPC."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def user_exists(self, user_id: str) -> bool:
        stub = DirectoryServiceStub(self._channels.to("users"))
        answer = await self._channels.call(stub.CheckUsers, api.CheckUsersRequest(user_ids=[user_id]), _SECONDS)
        return user_id in answer.user_ids

    async def is_group_member(self, user_id: str, group_id: str) -> bool:
        stub = MembershipServiceStub(self._channels.to("groups"))
        request = CheckMemberRequest(group_id=group_id, user_id=user_id)
        return bool((await self._channels.call(stub.CheckMember, request, _SECONDS)).member)

    async def device_active(self, user_id: str, device_id: str) -> bool:
        stub = DirectoryServiceStub(self._channels.to("users"))
        request = api.CheckDeviceRequest(user_id=user_id, device_id=device_id)
        return bool((await self._channels.call(stub.CheckDevice, request, _SECONDS)).active)
