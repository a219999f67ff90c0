"""Every rpc called twice with the same request: the same answer. With a client-chosen id and other content: refused."""

from collections.abc import Mapping

from google.protobuf.message import Message

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.users.v1 import user_service_pb2 as users
from stonechat_conformance.case import Case
from stonechat_conformance.contract import METHODS, Method
from stonechat_conformance.expect import must_equal, must_refuse
from stonechat_conformance.generated.stage import Stage, stage
from stonechat_conformance.people import People
from stonechat_conformance.refusal import Broken, Refused
from stonechat_conformance.surfaces.table import lacking

NOT_REPEATED: Mapping[type[Message], str] = {
    messaging.ConnectRequest: "a stream; what a repeated frame does is what the unary call does",
    messaging.SubscribeRequest: "a stream; 'who comes back gets what was missed once and in order' opens it again",
    messaging.StreamEventsRequest: "a stream; 'a repeat of a cursor gives the same again'",
    messaging.PollRequest: "without a cursor it begins a session; 'a repeat of a cursor gives the same again'",
    users.SignInRequest: "each call makes a new device, as its comment says",
    groups.LeaveGroupRequest: "a repeat answers NOT_FOUND: 'who leaves is out on every device'",
}
"""Rpcs that have no case here, and why."""
_SIGNED_ANEW = {"access_token", "expires_in"}
"""What the answers of a successor of a token need not share: the one says as much as the other."""


def repeat_cases() -> list[Case]:
    """One for each rpc, and one more for each that has a client_message_id."""
    repeated = [method for method in METHODS.values() if method.request_type not in NOT_REPEATED]
    chosen = [method for method in repeated if "client_message_id" in method.request_type.DESCRIPTOR.fields_by_name]
    return [*map(_repeated, repeated), *map(_other_content, chosen)]


def _repeated(method: Method) -> Case:
    async def check(people: People) -> None:
        scene = await (await stage(people, "repeats")).renew()
        request = scene.good(method.request_type)
        first, again = await scene.alice.call(request), await scene.alice.call(request)
        for name in _SIGNED_ANEW & set(first.DESCRIPTOR.fields_by_name):
            first.ClearField(name)
            again.ClearField(name)
        must_equal(again, first, "the answer to the repeat")

    promise = "Repeats are safe: the same request again gets the same answer."
    return Case(f"{method.name} repeated", promise, check, lacking(method), group="every rpc repeated")


def _other_content(method: Method) -> Case:
    async def check(people: People) -> None:
        scene = await (await stage(people, "repeats")).renew()
        request = scene.good(method.request_type)
        await scene.alice.call(request)
        conflict = Refused("ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT", ("client_message_id",))
        await must_refuse(scene.alice.call(_changed(request, scene)), conflict, "the same id with other content")

    promise = "Other content under the same client_message_id is ALREADY_EXISTS (IDEMPOTENCY_CONFLICT) naming it."
    return Case(
        f"{method.name} with other content", promise, check, lacking(method), group="a client_message_id used twice"
    )


def _changed(request: Message, scene: Stage) -> Message:
    changed = type(request)()
    changed.CopyFrom(request)
    others = {"content": "something else", "emoji": "👎", "message_id": scene.other.message_id}
    for name, value in others.items():
        if name in request.DESCRIPTOR.fields_by_name:
            setattr(changed, name, value)
            return changed
    raise Broken(f"the suite can change {request.DESCRIPTOR.name}: teach it in repeats.py")
