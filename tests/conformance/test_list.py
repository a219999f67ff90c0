"""The list of cases is whole: it follows from the contract, and what is not in it has a reason with a name."""

import re
from pathlib import Path
from typing import Any

import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from buf.validate import validate_pb2
from stonechat.errors.v1.error_reason_pb2 import ErrorReason
from stonechat_conformance.contract import METHODS, SERVICES, Method, method_of
from stonechat_conformance.generated.access import NEED_NO_TOKEN
from stonechat_conformance.generated.breaking import BREAKING, LIMITS, NAMES
from stonechat_conformance.generated.reasons import NOT_PROVOKED, PROVOKED
from stonechat_conformance.generated.repeats import NOT_REPEATED
from stonechat_conformance.generated.rules import rule_cases
from stonechat_conformance.generated.walk import rules
from stonechat_conformance.suite import suite
from stonechat_conformance.surfaces.table import SURFACES
from svc.kernel import registry
from tools.contracts import contracts, protoc

NAMES_OF_CASES = {case.name for case in suite()}
ALL_RULES = [rule for method in METHODS.values() for rule in rules(method)]


def test_every_public_service_is_covered():
    public = {name for service in registry.SERVICES for name in service.grpc_services}
    assert {service.full_name for service in SERVICES} == public


def test_every_case_says_what_it_promises_and_why_it_is_not_everywhere():
    assert len(NAMES_OF_CASES) == len(suite())
    for case in suite():
        assert case.promise.endswith("."), case.name
        assert set(case.without) < set(SURFACES), case.name
        assert all(case.without.values()), case.name


# Rules


def leaves(message: Message) -> int:
    """How many rules an option of protovalidate holds, counted without knowing any."""
    count = 0
    for field, value in message.ListFields():
        inner = field.message_type is not None and not field.is_repeated
        count += leaves(value) if inner else 1
    return count


def counted(message: Any, others: set[Any]) -> int:
    """How many rules a request has."""
    count = leaves(message.GetOptions().Extensions[validate_pb2.message])
    count += sum(leaves(oneof.GetOptions().Extensions[validate_pb2.oneof]) for oneof in message.oneofs)
    for field in message.fields:
        count += leaves(field.GetOptions().Extensions[validate_pb2.field])
        if field.message_type is not None and field.message_type not in others:
            count += counted(field.message_type, others)
    return count


def test_there_is_a_case_for_each_rule():
    requests = {kind.DESCRIPTOR for kind in METHODS}
    assert len(rule_cases()) == sum(counted(request, requests) for request in requests) > 90
    assert len({case.name for case in rule_cases()}) == len(ALL_RULES)


def test_every_rule_can_be_broken_and_its_limit_tried_or_there_is_a_reason():
    assert BREAKING.keys() == LIMITS.keys()
    assert {rule.rule_id for rule in ALL_RULES} <= BREAKING.keys()
    assert {rule.leaf.name for rule in ALL_RULES if not rule.oneof} >= set(NAMES)
    tried = [rule for rule in ALL_RULES if not isinstance(LIMITS[rule.rule_id], str) and rule.leaf.name not in NAMES]
    assert len(tried) > len(ALL_RULES) / 3


NEW = """
name: "new/v1/new_service.proto" package: "new.v1" syntax: "proto3"
dependency: "buf/validate/validate.proto" dependency: "google/api/annotations.proto"
message_type { name: "NewRequest"
  field { name: "topic" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL
    options { [buf.validate.field] { string { min_len: 2 email: true } } } }
  field { name: "inner" number: 2 type: TYPE_MESSAGE type_name: ".new.v1.Inner" label: LABEL_OPTIONAL } }
message_type { name: "Inner"
  field { name: "many" number: 1 type: TYPE_UINT32 label: LABEL_REPEATED
    options { [buf.validate.field] { repeated { max_items: 3 items { uint32 { lte: 9 } } } } } } }
message_type { name: "NewResponse" }
service { name: "NewService" method { name: "New" input_type: ".new.v1.NewRequest" output_type: ".new.v1.NewResponse"
    options { [google.api.http] { get: "/v1/new/{topic}" } } } }
"""


@pytest.fixture
def new() -> Method:
    """An rpc that nobody has told the suite of."""
    assert annotations_pb2.DESCRIPTOR
    pool = descriptor_pool.DescriptorPool()
    for needed in (descriptor_pb2, validate_pb2, annotations_pb2):
        for file in (*needed.DESCRIPTOR.dependencies, needed.DESCRIPTOR):
            for each in (*file.dependencies, file):
                pool.AddSerializedFile(each.serialized_pb)
    pool.AddSerializedFile(text_format.Parse(NEW, descriptor_pb2.FileDescriptorProto()).SerializeToString())
    return method_of(pool.FindMethodByName("new.v1.NewService.New"))


def test_a_new_rpc_and_its_rules_are_seen_without_a_line_in_the_suite(new: Method):
    found = [(rule.field, rule.rule_id, rule.each) for rule in rules(new)]
    assert found == [
        ("topic", "string.min_len", False),
        ("topic", "string.email", False),
        ("inner.many", "repeated.max_items", False),
        ("inner.many", "uint32.lte", True),
    ]
    assert new.rest(GetMessageClass(new.request_type.DESCRIPTOR)(topic="a")).path == "/v1/new/a"


# Comments


@pytest.fixture(scope="session")
def comments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the contract says of each service and rpc, on one line, by full name."""
    out = tmp_path_factory.mktemp("image") / "image.binpb"
    protoc("--include_source_info", f"--descriptor_set_out={out}", *contracts())
    found: dict[str, str] = {}
    for file in descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file:
        for location in file.source_code_info.location:
            if location.path[:1] == [6] and len(location.path) in (2, 4):
                service = file.service[location.path[1]]
                name = f"{file.package}.{service.name}"
                if len(location.path) == 4:
                    name += f".{service.method[location.path[3]].name}"
                found[name] = " ".join(location.leading_comments.split())
    return {name: text for name, text in found.items() if name.startswith(tuple(each.full_name for each in SERVICES))}


def full_name(kind: type[Message]) -> str:
    return METHODS[kind].path[1:].replace("/", ".")


def test_who_needs_no_token_is_what_the_comments_say(comments: dict[str, str]):
    said = re.search(r"([\w, ]+) need no token", comments["stonechat.users.v1.UserService"])
    assert said
    assert set(re.findall(r"[A-Z]\w+", said[1])) == {METHODS[kind].name for kind in NEED_NO_TOKEN}
    others = [comments[service.full_name] for service in SERVICES]
    assert all("need `authorization" in text or "needs `authorization" in text for text in others)


def test_every_rpc_whose_comment_speaks_of_repeats_is_repeated(comments: dict[str, str]):
    assert len(comments) == len(METHODS) + len(SERVICES)
    for kind, method in METHODS.items():
        if kind in NOT_REPEATED:
            elsewhere = re.search(r"'([^']+)'", NOT_REPEATED[kind])
            assert not elsewhere or elsewhere[1] in NAMES_OF_CASES
        elif re.search(
            r"[Rr]epeat|[Ii]dempotent", comments[full_name(kind)] + comments[full_name(kind).rpartition(".")[0]]
        ):
            assert f"{method.name} repeated" in NAMES_OF_CASES


def test_every_reason_is_provoked_by_a_case_or_has_a_cause():
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 - no dict
    assert PROVOKED.keys() | NOT_PROVOKED.keys() == reasons
    assert not PROVOKED.keys() & NOT_PROVOKED.keys()
    assert set(PROVOKED.values()) <= NAMES_OF_CASES


def test_every_reason_that_a_comment_of_an_rpc_names_is_provoked_or_has_a_cause(comments: dict[str, str]):
    texts = [re.sub(r"buf:lint:ignore \w+", "", text) for text in comments.values()]
    named = {word for text in texts for word in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text)}
    statuses = {"ALREADY_EXISTS", "NOT_FOUND", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "RST_STREAM", "ROLE_OWNER"}
    assert named - statuses <= PROVOKED.keys() | NOT_PROVOKED.keys()
    assert {"USERNAME_TAKEN", "WRONG_CREDENTIALS", "OUTCOME_UNKNOWN", "GROUP_FULL"} <= named


def test_the_suite_names_no_module_of_the_server_nor_of_the_client():
    package = Path(next(iter(__import__("stonechat_conformance").__path__)))
    for module in package.rglob("*.py"):
        assert not re.search(
            r"^\s*(from|import) (svc|stonechat_client|pytest|tests)\b", module.read_text(), re.MULTILINE
        )
