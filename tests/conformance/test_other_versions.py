"""A server of another version: what it lacks is told case by case, and what it has more of hurts nothing."""

from collections.abc import Iterator

import pytest

from stonechat.groups.v1 import group_service_pb2 as groups
from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.messaging.v1.event_pb2 import Event
from stonechat_conformance.contract import METHODS
from stonechat_conformance.suite import suite
from tests.conformance.breaches import answered
from tests.conformance.checked import check, failed, named
from tests.conformance.proxy import Breach, grpc_proxy
from tests.mesh.product import Product

MORE = b"\xfa\x7f\x03new"  # a field 2047 that nobody knows


async def test_calls_that_it_does_not_know_are_told_case_by_case(kept: Product):
    unknown = [method.name for method in METHODS.values() if method.service == "GroupService"]
    cases = named(
        "a message arrives", "a group talks", "CreateGroup.name: string.max_len 100", "GetGroup without a token"
    )
    async with grpc_proxy(kept.url, Breach(unknown=unknown)) as url:
        found = failed(await check(url, cases, "connect", "grpc+poll"))
    assert set(found) == {case.name for case in cases} - {"a message arrives"}
    assert all("UNIMPLEMENTED" in why for why in found.values()), found


async def test_a_server_without_sign_in_can_not_be_tested_and_says_so(kept: Product):
    async with grpc_proxy(kept.url, Breach(unknown=["SignIn"])) as url:
        found = failed(await check(url, suite(), "grpc+poll"))
    assert len(found) == sum("grpc+poll" not in case.without for case in suite())
    assert all(
        why.startswith("not run: nobody can sign in here: ") and "UNIMPLEMENTED" in why for why in found.values()
    )


async def test_fields_that_are_not_there_yet_are_told(kept: Product):
    breach = answered("CreateGroup", groups.CreateGroupResponse, lambda answer: answer.ClearField("group"))
    async with grpc_proxy(kept.url, breach()) as url:
        found = failed(await check(url, named("a group talks", "a message arrives"), "grpc+poll"))
    assert set(found) == {"a group talks"}


@pytest.mark.parametrize("garbage", [b"\xff\xff", b"", b"\x0a\x7f"], ids=["nonsense", "nothing", "broken off"])
async def test_answers_of_another_shape_are_told(kept: Product, garbage: bytes):
    def answers(method: str, raw: bytes) -> Iterator[bytes]:
        yield raw if method in ("Register", "SignIn") else garbage

    async with grpc_proxy(kept.url, Breach(answers=answers)) as url:
        cases = named("a message arrives", "history is paged both ways", "GetGroup repeated")
        found = failed(await check(url, cases, "connect", "grpc+poll"))
    assert set(found) == {case.name for case in cases}


async def test_what_it_has_more_of_hurts_nothing(kept: Product):
    """Fields and kinds of events that this version does not know."""

    def answers(method: str, raw: bytes) -> Iterator[bytes]:
        if method == "Connect":
            yield messaging.ConnectResponse(events=[Event()]).SerializeToString()
        yield raw + MORE

    async with grpc_proxy(kept.url, Breach(answers=answers)) as url:
        names = ("a message arrives", "a group talks", "who comes back gets what was missed once and in order")
        assert failed(await check(url, named(*names), "connect", "grpc+poll")) == {}
