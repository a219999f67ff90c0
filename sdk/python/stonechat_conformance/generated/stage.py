"""Two who have talked and share a group, and the good requests that are made of them."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.groups.v1.membership_pb2 import ROLE_MEMBER
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat_conformance.device import Device
from stonechat_conformance.people import PASSWORD, People, direct
from stonechat_conformance.refusal import Broken


@dataclass
class Stage:
    """Alice listens, so that on the stream of a native app her calls are frames."""

    people: People
    alice: Device
    name: str
    bob: Device
    spare: Device  # another one of Alice's
    sent: Any = None
    other: Any = None
    group_id: str = ""
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def renew(self) -> "Stage":
        """Two new messages and a new group, as nothing has changed them."""
        self.sent = await self.alice.send(self.bob.user_id, "hello")
        self.other = await self.alice.send(self.bob.user_id, "and more")
        created = await self.alice.call(groups.CreateGroupRequest(name="us", member_ids=[self.bob.user_id]))
        self.group_id = created.group_id
        await self.alice.until_event(self.group_id, "membership")
        return self

    def key(self) -> str:
        """An id that a client chooses, not used before."""
        return f"c{next(self._numbers)}"

    def good(self, request_type: type[Message]) -> Any:
        """A request that should succeed. Broken when the suite does not know one: teach it in `_VALUES`."""
        request = request_type()
        each: Any
        for each in request.DESCRIPTOR.fields:
            if make := _VALUES.get(f"{request.DESCRIPTOR.name}.{each.name}", _VALUES.get(each.name)):
                put(request, each, make(self))
        if wrong := protovalidate.collect_violations(request):
            raise Broken(f"the suite knows a good {request.DESCRIPTOR.name}", came=str(wrong[0].proto))
        return request


_VALUES: dict[str, Callable[[Stage], Any]] = {
    "ConnectRequest.hello": lambda stage: messaging.Hello(),
    "to": lambda stage: stage.bob.user_id,
    "content": lambda stage: "hi",
    "type": lambda stage: "text",
    "client_message_id": Stage.key,
    "client_request_id": Stage.key,
    "conversation_id": lambda stage: direct(stage.alice, stage.bob),
    "message_id": lambda stage: stage.sent.message_id,
    "emoji": lambda stage: "👍",
    "seq": lambda stage: 1,
    "group_id": lambda stage: stage.group_id,
    "user_id": lambda stage: stage.bob.user_id,
    "user_ids": lambda stage: [stage.bob.user_id],
    "member_ids": lambda stage: [stage.bob.user_id],
    "name": lambda stage: "us",
    "role": lambda stage: ROLE_MEMBER,
    "username": lambda stage: stage.name,
    "RegisterRequest.username": lambda stage: stage.people.server.username(),
    "password": lambda stage: PASSWORD,
    "display_name": lambda stage: "Somebody",
    "device_name": lambda stage: "a device",
    "device_id": lambda stage: stage.spare.device_id,
    "refresh_token": lambda stage: stage.spare.refresh_token,
    "request_id": lambda stage: next(stage._numbers),
    "access_token": lambda stage: stage.alice.token,
}


def put(message: Message, field: FieldDescriptor, value: Any) -> None:
    """Set a field, a list as a whole and a message to a copy."""
    message.ClearField(field.name)
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.message_type:
        getattr(message, field.name).CopyFrom(value)
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, value)


async def stage(people: People, purpose: str) -> Stage:
    """The one that all cases of a purpose share on a surface; nobody is shared between purposes."""
    return await people.server.once((purpose, people.name), lambda: _make(people))


async def _make(asking: People) -> Stage:
    people = await asking.server.lasting(asking.name)
    name = await people.register()
    alice, spare = await people.device(username=name), await people.sign_in(name)
    bob = await people.sign_in(await people.register())
    return await Stage(people, alice, name, bob, spare).renew()
