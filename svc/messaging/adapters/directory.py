"""What the users and groups services answer."""

from collections.abc import Sequence

from stonechat.groups.v1.membership_service_pb2 import CheckMemberRequest
from stonechat.groups.v1.membership_service_pb2_grpc import MembershipServiceStub
from stonechat.users.v1 import directory_service_pb2 as api
from stonechat.users.v1.directory_service_pb2_grpc import DirectoryServiceStub
from svc.kernel.channels import Channels
from svc.kernel.together import Together

_SECONDS = 5.0
_MOST = 1000  # users, or devices, in one call (the contract)


class ServicesDirectory:
    """`svc.messaging.ports.Directory` over gRPC. When many sessions begin at once, they ask together."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._users = Together(self._check_users, _MOST)
        self._devices = Together(self._check_devices, _MOST)

    async def user_exists(self, user_id: str) -> bool:
        return await self._users.holds(user_id)

    async def is_group_member(self, user_id: str, group_id: str) -> bool:
        stub = MembershipServiceStub(self._channels.to("groups"))
        request = CheckMemberRequest(group_id=group_id, user_id=user_id)
        return bool((await self._channels.call(stub.CheckMember, request, _SECONDS)).member)

    async def device_active(self, user_id: str, device_id: str) -> bool:
        return await self._devices.holds((user_id, device_id))

    async def _check_users(self, user_ids: Sequence[str]) -> frozenset[str]:
        stub = DirectoryServiceStub(self._channels.to("users"))
        answer = await self._channels.call(stub.CheckUsers, api.CheckUsersRequest(user_ids=user_ids), _SECONDS)
        return frozenset(answer.user_ids)

    async def _check_devices(self, owned: Sequence[tuple[str, str]]) -> frozenset[tuple[str, str]]:
        stub = DirectoryServiceStub(self._channels.to("users"))
        devices = [api.CheckDeviceRequest(user_id=user_id, device_id=device_id) for user_id, device_id in owned]
        answer = await self._channels.call(stub.CheckDevices, api.CheckDevicesRequest(devices=devices), _SECONDS)
        return frozenset(each for each, active in zip(owned, answer.active, strict=True) if active)
