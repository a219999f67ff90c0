"""Every validation rule of every request, as the descriptors have them (protovalidate, `buf/validate/validate.proto`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from buf.validate import validate_pb2
from stonechat_conformance.contract import METHODS, Method

_REQUESTS = {request_type.DESCRIPTOR for request_type in METHODS}


@dataclass(frozen=True)
class Rule:
    """One rule. `path` leads to the field (or ends in the name of a oneof); `rule_id` is protovalidate's name for it.

    `each` is set when it is about the items of a list.
    """

    method: Method
    path: tuple[FieldDescriptor, ...]
    oneof: str
    rule_id: str
    value: Any
    each: bool = False

    @property
    def field(self) -> str:
        """Where the field stands in the request."""
        return ".".join([*(field.name for field in self.path), *([self.oneof] if self.oneof else [])])

    @property
    def named(self) -> str:
        """The field as an error names it: within a frame of the stream as in the unary call, without the frame's kind."""
        return self.field if self.oneof or not self.method.client_streaming else self.field.partition(".")[2]

    @property
    def leaf(self) -> FieldDescriptor:
        """The field that has the rule."""
        return self.path[-1]


def rules(method: Method) -> Iterator[Rule]:
    """The rules of a request and of what it holds. A frame of the stream that is another rpc's request is that one's."""
    yield from _of(method, method.request_type.DESCRIPTOR, ())


def _of(method: Method, message: Any, path: tuple[FieldDescriptor, ...]) -> Iterator[Rule]:
    # `message` is a Descriptor; the type stubs know its options by the wrong types.
    for rule, value in message.GetOptions().Extensions[validate_pb2.message].ListFields():
        yield Rule(method, path, message.name, rule.name, value)
    for oneof in message.oneofs:
        if oneof.GetOptions().Extensions[validate_pb2.oneof].required:
            yield Rule(method, path, oneof.name, "required", True)
    for field in message.fields:
        here = (*path, field)
        yield from _listed(method, here, field.GetOptions().Extensions[validate_pb2.field], each=False)
        if field.message_type and field.message_type not in _REQUESTS:
            yield from _of(method, field.message_type, here)


def _listed(
    method: Method, path: tuple[FieldDescriptor, ...], set_rules: validate_pb2.FieldRules, each: bool
) -> Iterator[Rule]:
    kind = set_rules.WhichOneof("type")
    for outer, value in set_rules.ListFields():
        if outer.name != kind:
            yield Rule(method, path, "", outer.name, value, each)
            continue
        for rule, limit in value.ListFields():
            if rule.name == "items":
                yield from _listed(method, path, limit, each=True)
            else:
                yield Rule(method, path, "", f"{kind}.{rule.name}", limit, each)
