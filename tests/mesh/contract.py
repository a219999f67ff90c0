"""The methods of the contract by their request types: how each is called over gRPC and over REST, as the descriptors say."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.users.v1 import user_service_pb2 as users


@dataclass(frozen=True)
class RestCall:
    """A request as REST has it."""

    verb: str
    path: str
    query: dict[str, Any]
    body: dict[str, Any] | None


@dataclass(frozen=True)
class Method:
    """One rpc."""

    name: str
    path: str
    response_type: type[Message]
    verb: str
    template: str

    def rest(self, request: Message) -> RestCall:
        """The request as REST has it."""
        fields = MessageToDict(request)
        path = self.template
        for name in re.findall(r"\{(\w+)\}", path):
            fields.pop(request.DESCRIPTOR.fields_by_name[name].json_name, None)
            path = path.replace(f"{{{name}}}", quote(str(getattr(request, name)), safe=""))
        if self.verb == "POST":
            return RestCall(self.verb, path, {}, fields)
        return RestCall(self.verb, path, fields, None)


def _method(method: MethodDescriptor) -> Method:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern") or ""
    return Method(
        name=method.name,
        path=f"/{method.containing_service.full_name}/{method.name}",
        response_type=GetMessageClass(method.output_type),
        verb=verb.upper(),
        template=getattr(rule, verb) if verb else "",
    )


METHODS: dict[type[Message], Method] = {
    GetMessageClass(method.input_type): _method(method)
    for module in (messaging, history, groups, users)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
