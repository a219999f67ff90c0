"""How users are called: by clients, and by other services."""

from google.api.httpbody_pb2 import HttpBody

from stonechat.users.v1 import directory_service_pb2 as inner
from stonechat.users.v1 import user_service_pb2 as pb
from svc.kernel.calls import Call
from svc.users import wire
from svc.users.accounts import Accounts
from svc.users.devices import Devices
from svc.users.tokens import AccessTokens


class UserServicer:
    """`stonechat.users.v1.UserService`."""

    def __init__(self, accounts: Accounts, devices: Devices, access: AccessTokens) -> None:
        self._accounts = accounts
        self._devices = devices
        self._access = access

    async def Register(self, request: pb.RegisterRequest, call: Call) -> pb.RegisterResponse:
        user = await self._accounts.register(
            request.username, request.password, request.display_name, request.client_request_id
        )
        return pb.RegisterResponse(user_id=user.user_id)

    async def SignIn(self, request: pb.SignInRequest, call: Call) -> pb.SignInResponse:
        return wire.signed_in(await self._devices.sign_in(request.username, request.password, request.device_name))

    async def RefreshToken(self, request: pb.RefreshTokenRequest, call: Call) -> pb.RefreshTokenResponse:
        return wire.refreshed(await self._devices.refresh(request.refresh_token))

    async def GetJwks(self, request: pb.GetJwksRequest, call: Call) -> HttpBody:
        return HttpBody(content_type="application/json", data=(await self._access.jwks()).encode())

    async def ListDevices(self, request: pb.ListDevicesRequest, call: Call) -> pb.ListDevicesResponse:
        page, more = await self._devices.page(call.caller.user_id, wire.before(request), wire.page_size(request))
        return wire.devices(page, more, asking=call.caller.device_id)

    async def RevokeDevice(self, request: pb.RevokeDeviceRequest, call: Call) -> pb.RevokeDeviceResponse:
        await self._devices.sign_out(call.caller.user_id, request.device_id)
        return pb.RevokeDeviceResponse()

    async def GetUser(self, request: pb.GetUserRequest, call: Call) -> pb.GetUserResponse:
        return pb.GetUserResponse(user=wire.user(await self._accounts.get(request.user_id)))

    async def FindUser(self, request: pb.FindUserRequest, call: Call) -> pb.FindUserResponse:
        return pb.FindUserResponse(user=wire.user(await self._accounts.find(request.username)))

    async def UpdateProfile(self, request: pb.UpdateProfileRequest, call: Call) -> pb.UpdateProfileResponse:
        user = await self._accounts.rename(call.caller.user_id, request.display_name)
        return pb.UpdateProfileResponse(user=wire.user(user))


class DirectoryServicer:
    """`stonechat.users.v1.DirectoryService`."""

    def __init__(self, accounts: Accounts, devices: Devices) -> None:
        self._accounts = accounts
        self._devices = devices

    async def CheckUsers(self, request: inner.CheckUsersRequest, call: Call) -> inner.CheckUsersResponse:
        return inner.CheckUsersResponse(user_ids=await self._accounts.known(request.user_ids))

    async def CheckDevice(self, request: inner.CheckDeviceRequest, call: Call) -> inner.CheckDeviceResponse:
        (active,) = await self._devices.active([(request.user_id, request.device_id)])
        return inner.CheckDeviceResponse(active=active)

    async def CheckDevices(self, request: inner.CheckDevicesRequest, call: Call) -> inner.CheckDevicesResponse:
        owned = [(device.user_id, device.device_id) for device in request.devices]
        return inner.CheckDevicesResponse(active=await self._devices.active(owned))
