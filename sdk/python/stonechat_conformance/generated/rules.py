"""A case for each rule: what breaks just this one is refused naming its field, what just keeps it is not."""

from collections.abc import Iterator
from typing import Any

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat_conformance.case import Case
from stonechat_conformance.contract import METHODS
from stonechat_conformance.expect import must, must_refuse, shown
from stonechat_conformance.generated.breaking import BREAKING, LIMITS, NAMES, longest
from stonechat_conformance.generated.stage import Stage, put, stage
from stonechat_conformance.generated.walk import Rule, rules
from stonechat_conformance.people import People
from stonechat_conformance.refusal import Refused
from stonechat_conformance.surfaces.native import Connect
from stonechat_conformance.surfaces.table import SURFACES, lacking

# An edge takes these for something else where they stand in a path.
_NOT_IN_A_PATH = ("/", "\\", "\0")


def rule_cases() -> list[Case]:
    """One for each rule of the contract."""
    return [_case(rule) for method in METHODS.values() for rule in rules(method)]


def _case(rule: Rule) -> Case:
    method = rule.method
    without = lacking(method)
    if rule.oneof == "" and rule.leaf.name in method.in_path and rule.rule_id in ("string.min_bytes", "string.min_len"):
        why = "the field stands in the path: without it, it is another path"
        without |= {name: why for name in SURFACES if name.startswith("rest")}
    value = shown(rule.value)

    async def check(people: People) -> None:
        scene = await stage(people, "rules")
        await _check(scene, rule, in_path=people.name.startswith("rest") and rule.field in method.in_path)

    return Case(
        f"{method.name}.{rule.field}{'[]' if rule.each else ''}: {rule.rule_id} {value}",
        "What breaks just this rule is INVALID_ARGUMENT (INVALID_FIELD) naming the field; what just keeps it is not.",
        check,
        without,
        group=f"validation rules of {method.service}",
    )


async def _check(scene: Stage, rule: Rule, in_path: bool) -> None:
    must(rule.rule_id in BREAKING, f"the suite knows how to break {rule.rule_id}: teach it in breaking.py")
    good = _good(scene, rule)
    tried = 0
    for value in BREAKING[rule.rule_id](rule, _value(good, rule)):
        if in_path and (value == "" or any(letter in value for letter in _NOT_IN_A_PATH)):
            continue
        request = _with(good, rule, value)
        if _violated(request) != [(rule.field, rule.rule_id)]:
            continue
        tried += 1
        expected = Refused("INVALID_ARGUMENT", "INVALID_FIELD", (rule.named,))
        await must_refuse(_send(scene, request), expected, f"{rule.field} = {shown(value, 60)} must be refused")
    must(tried, f"the suite has a value that breaks just {rule.rule_id} of {rule.field}: teach it in breaking.py")
    for request in _limits(scene, rule):
        try:
            await _send(scene, request)
        except Refused as refused:
            named = refused.reason == "INVALID_FIELD" and rule.named in refused.fields
            must(not named, f"{rule.field} just keeps its rule in {shown(request, 120)}", str(refused))


def _limits(scene: Stage, rule: Rule) -> Iterator[Message]:
    make = LIMITS[rule.rule_id]
    if isinstance(make, str) or rule.leaf.name in NAMES:
        return
    good = _good(scene, rule)
    for value in make(rule, _value(good, rule)):
        if rule.rule_id == "string.pattern":
            value = longest(value, lambda longer: not _violated(_with(good, rule, longer)))
        request = _with(_good(scene, rule), rule, value)
        if not _violated(request):
            yield request


async def _send(scene: Stage, request: Message) -> Any:
    surface = scene.alice.surface
    if isinstance(request, messaging.ConnectRequest) and isinstance(surface, Connect):
        return await scene.alice.within(surface.exchange(request, scene.alice.token))
    return await scene.alice.call(request)


def _good(scene: Stage, rule: Rule) -> Message:
    """A good request that has everything on the way to the field."""
    request: Message = scene.good(rule.method.request_type)
    at = request
    for field in rule.path if rule.oneof else rule.path[:-1]:
        at = _inner(scene, at, field)
    if rule.path and not rule.oneof and rule.leaf.message_type and rule.leaf.is_repeated:
        _inner(scene, at, rule.leaf)
    return request


def _inner(scene: Stage, message: Message, field: FieldDescriptor) -> Message:
    kind: Any = field.message_type
    made = scene.good(GetMessageClass(kind))
    put(message, field, [made] if field.is_repeated else made)
    return _at(message, field)


def _holder(request: Message, rule: Rule) -> Message:
    at = request
    for field in rule.path if rule.oneof else rule.path[:-1]:
        at = _at(at, field)
    return at


def _at(message: Message, field: FieldDescriptor) -> Message:
    value = getattr(message, field.name)
    inner: Message = value[0] if field.is_repeated else value
    return inner


def _value(request: Message, rule: Rule) -> Any:
    """The field's good value; an item of it where it is a list."""
    if rule.oneof:
        return None
    value = getattr(_holder(request, rule), rule.leaf.name)
    return value[0] if rule.leaf.is_repeated else value


def _with(good: Message, rule: Rule, value: Any) -> Message:
    request = type(good)()
    request.CopyFrom(good)
    at = _holder(request, rule)
    if rule.oneof:
        at.ClearField(rule.oneof)
    else:
        put(at, rule.leaf, [value] if rule.each else value)
    return request


def _violated(request: Message) -> list[tuple[str, str]]:
    found = protovalidate.collect_violations(request)
    return [
        (".".join(each.field_name for each in (one.proto.field.elements if one.proto.field else ())), one.proto.rule_id)
        for one in found
    ]
