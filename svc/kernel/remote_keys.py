"""The keys of access tokens, for processes that serve no users themselves."""

from stonechat.users.v1 import user_service_pb2
from stonechat.users.v1.user_service_pb2_grpc import UserServiceStub
from svc.kernel.channels import Channels
from svc.kernel.identity import KeySource

_KEYS_SECONDS = 3.0


def remote_keys(channels: Channels) -> KeySource:
    """Where a `TokenVerifier` in another process gets its keys."""

    async def fetch() -> str:
        stub = UserServiceStub(channels.to("users"))
        return bytes(
            (await channels.call(stub.GetJwks, user_service_pb2.GetJwksRequest(), _KEYS_SECONDS)).data
        ).decode()

    return fetch
