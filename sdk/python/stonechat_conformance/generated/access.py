"""Every rpc without a token: refused, but for those whose service says in the contract that they need none."""

from google.protobuf.message import Message

from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance.case import Case
from stonechat_conformance.contract import METHODS, Method
from stonechat_conformance.expect import must_refuse
from stonechat_conformance.generated.stage import stage
from stonechat_conformance.patience import call
from stonechat_conformance.people import People
from stonechat_conformance.refusal import Refused
from stonechat_conformance.surfaces.table import lacking

NEED_NO_TOKEN: frozenset[type[Message]] = frozenset(
    {users.RegisterRequest, users.SignInRequest, users.RefreshTokenRequest, users.GetJwksRequest}
)
"""As the comment of UserService says; compared with it by a test."""


def access_cases() -> list[Case]:
    """One for each rpc."""
    return [_case(method) for method in METHODS.values()]


def _case(method: Method) -> Case:
    public = method.request_type in NEED_NO_TOKEN

    async def check(people: People) -> None:
        scene = await stage(people, "access")
        surface, patience = people.surface(), people.server.patience
        request = scene.good(method.request_type)
        if public:
            await call(surface, request, "", patience)
            return
        refusal = Refused("UNAUTHENTICATED", "UNAUTHENTICATED")
        for token in ("", "nonsense"):
            await must_refuse(call(surface, request, token, patience), refusal, f"with {token or 'no token'}")

    promise = "It needs no token." if public else "Without a token, or with nonsense for one, it is UNAUTHENTICATED."
    return Case(f"{method.name} without a token", promise, check, lacking(method), group="every rpc without a token")
