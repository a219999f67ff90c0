"""The contract, read from the descriptor set that `make gen` writes."""

from importlib.resources import files
from typing import Any

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto, MethodOptions
from google.rpc import error_details_pb2, status_pb2

from svc.controlplane.model import Contract, Method

_WAITING_FIELD = "wait_seconds"


def installed_contract() -> Contract:
    """The contract that this version of Stonechat was built with."""
    return read_contract((files("stonechat") / "descriptors.binpb").read_bytes())


def read_contract(descriptors: bytes) -> Contract:
    """The methods in an encoded `FileDescriptorSet`, which gains the types of error details: the edge can turn only what is
    described into JSON. Raises google.protobuf.message.DecodeError when the bytes are none."""
    described = FileDescriptorSet.FromString(descriptors)
    fields = {
        f".{file.package}.{message.name}": {each.name for each in message.field}
        for file in described.file
        for message in file.message_type
    }
    methods = tuple(
        _method(f"/{file.package}.{service.name}/{method.name}", method, fields.get(method.input_type, set()))
        for file in described.file
        for service in file.service
        for method in service.method
    )
    known = {file.name for file in described.file}
    for module in (error_details_pb2, status_pb2):
        _add(module.DESCRIPTOR, described, known)
    return Contract(methods, described.SerializeToString(deterministic=True))


def _method(path: str, method: MethodDescriptorProto, request_fields: set[str]) -> Method:
    rules: Any = method.options.Extensions  # the two packages of stubs disagree about extensions
    http: http_pb2.HttpRule = rules[annotations_pb2.http]
    return Method(
        path=path,
        streams_requests=method.client_streaming,
        streams_responses=method.server_streaming,
        repeatable=bool(http.get) or method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS,
        waits=_WAITING_FIELD in request_fields,
        http_get=http.get,
    )


def _add(file: Any, described: FileDescriptorSet, known: set[str]) -> None:
    for dependency in file.dependencies:
        _add(dependency, described, known)
    if file.name not in known:
        known.add(file.name)
        file.CopyToProto(described.file.add())
