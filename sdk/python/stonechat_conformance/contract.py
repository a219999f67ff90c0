"""The methods of the contract by their request types: how each is called over gRPC and over REST, as the descriptors say."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.users.v1 import user_service_pb2 as users

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service for module in (messaging, history, groups, users) for service in module.DESCRIPTOR.services_by_name.values()
)
"""Every service that the edge routes to; compared with the server's registry by a test."""


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

    service: str
    name: str
    path: str
    request_type: type[Message]
    response_type: type[Message]
    client_streaming: bool
    server_streaming: bool
    verb: str
    template: str

    @property
    def in_path(self) -> list[str]:
        """The fields that stand in the path of its REST form."""
        return re.findall(r"\{(\w+)\}", self.template)

    def rest(self, request: Message) -> RestCall:
        """The request as REST has it."""
        fields = MessageToDict(request)
        path = self.template
        for name in self.in_path:
            fields.pop(request.DESCRIPTOR.fields_by_name[name].json_name, None)
            path = path.replace(f"{{{name}}}", quote(str(getattr(request, name)), safe=""))
        if self.verb == "POST":
            return RestCall(self.verb, path, {}, fields)
        return RestCall(self.verb, path, fields, None)


def method_of(method: MethodDescriptor) -> Method:
    """The rpc that a descriptor describes."""
    # The type stubs know the extension by the wrong type.
    rule: HttpRule = method.GetOptions().Extensions[annotations_pb2.http]  # type: ignore[index]
    verb = rule.WhichOneof("pattern") or ""
    return Method(
        service=method.containing_service.name,
        name=method.name,
        path=f"/{method.containing_service.full_name}/{method.name}",
        request_type=GetMessageClass(method.input_type),
        response_type=GetMessageClass(method.output_type),
        client_streaming=method.client_streaming,
        server_streaming=method.server_streaming,
        verb=verb.upper(),
        template=getattr(rule, verb) if verb else "",
    )


METHODS: dict[type[Message], Method] = {
    method.request_type: method for service in SERVICES for method in map(method_of, service.methods)
}
