"""The one chain around every call, met through a real server: all four shapes, and all that can go wrong in them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from prometheus_client import REGISTRY

from stonechat.messaging.v1 import messaging_service_pb2 as pb
from svc.kernel import errors
from svc.kernel.calls import INNER_TOKEN_KEY, CallChain, handlers
from svc.kernel.channels import translate
from svc.kernel.clock import SystemClock
from svc.kernel.errors import (
    InvalidField,
    MalformedRequest,
    PermissionDenied,
    RateLimited,
    StonechatError,
    TokenExpired,
    Unauthenticated,
)
from svc.kernel.limits import Rate
from svc.kernel.status import DETAILS_KEY
from tests.kernel.shapes import INNER, SERVICE, SHAPES, World, ask, drain, serving


@pytest.fixture
def rate() -> Rate:
    return Rate(1000, 1000)


@pytest.fixture
async def world(rate: Rate) -> AsyncIterator[World]:
    async with serving(rate) as opened:
        yield opened


class Lines(logging.Handler):
    """What the access log says."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        self.look: Callable[[], object] = lambda: None

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(vars(record) | {"seen": self.look()})
        self.changed.set()

    async def come(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many lines."""
        async with asyncio.timeout(10):
            while len(self.found) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.found


@pytest.fixture
async def lines() -> AsyncIterator[Lines]:
    handler, logger = Lines(), logging.getLogger("stonechat.calls")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


async def test_every_shape_answers(world: World):
    """Messages, and bytes that are encoded already, arrive alike."""
    assert await world.call("Unary", "hello") == ["hello"]
    assert await world.call("Unary", "bytes") == ["as bytes"]
    assert await world.call("ServerStream", "hello") == ["first", "hello"]
    assert await world.call("ClientStream", "a", "b", "c") == ["a b c"]
    assert await world.call("BidiStream", "a", "b") == ["a", "b"]


@pytest.mark.parametrize("shape", SHAPES)
async def test_bytes_that_are_no_request_are_refused(world: World, shape: str):
    """In every shape, with the reason."""
    with pytest.raises(MalformedRequest):
        await world.call(shape, b"\xff\xff")


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_broken_rule_names_its_field(world: World, shape: str):
    """In every shape."""
    with pytest.raises(InvalidField) as caught:
        await world.call(shape, pb.SendMessageRequest(to="u2", type="text").SerializeToString())
    assert caught.value.field == "content"


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_a_servicer_raises_arrives(world: World, shape: str):
    """As the same error with all it says, in every shape."""
    with pytest.raises(errors.Busy) as busy:
        await world.call(shape, "busy")
    assert (busy.value.message, busy.value.retry_after) == ("come back", 1.5)
    with pytest.raises(errors.NotFound) as missing:
        await world.call(shape, "field")
    assert missing.value.field == "message_id"


async def test_an_error_in_the_middle_of_a_stream_comes_after_what_came_before(world: World):
    """Nothing that was sent is taken back."""
    call = world.open("BidiStream", ask("a"), ask("b"), ask("busy"), ask("c"))
    answers: list[str] = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await drain(call, answers)
    assert answers == ["a", "b"]
    assert type(translate(caught.value)) is errors.Busy


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_fault_of_ours_tells_its_number_and_nothing_else(
    world: World, shape: str, caplog: pytest.LogCaptureFixture
):
    """The log has what happened, under the same number."""
    call = world.open(shape, ask("bug"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await (drain(call, []) if shape in ("ServerStream", "BidiStream") else call)
    error = caught.value
    assert error.code() is grpc.StatusCode.INTERNAL
    raw = dict(error.trailing_metadata() or ())[DETAILS_KEY]
    assert b"secret" not in raw
    assert "secret" not in (error.details() or "")
    info = error_details_pb2.RequestInfo()
    assert any(detail.Unpack(info) for detail in Status.FromString(raw).details)
    assert error.details() == f"internal error; report the request id {info.request_id}"
    (line,) = [record for record in caplog.records if record.name == "svc.kernel.calls"]
    assert line.call_id == info.request_id  # type: ignore[attr-defined]
    assert line.exc_info is not None
    assert "a secret of the inside" in str(line.exc_info[1])


async def test_a_call_without_a_token_is_refused(world: World):
    """With a token it has the caller's identity."""
    for metadata in ((), (("authorization", "Bearer x"),), ((INNER_TOKEN_KEY, INNER),)):
        with pytest.raises(Unauthenticated):
            await world.call("Unary", "hello", metadata=metadata)
    expired = (("authorization", f"Bearer {world.token(exp=1)}"),)
    with pytest.raises(TokenExpired):
        await world.call("Unary", "hello", metadata=expired)
    assert world.servicer.calls == []
    await world.call("Unary", "hello")
    (call,) = world.servicer.calls
    assert (call.caller.user_id, call.caller.device_id) == ("u1", "phone")


async def test_public_methods_need_no_token(world: World):
    """And have no caller, even if one is sent."""
    assert await world.call("Public", "hello", metadata=()) == ["hello"]
    assert await world.call("Public", "hello", metadata=(("authorization", "Bearer nonsense"),)) == ["hello"]
    for call in world.servicer.calls:
        with pytest.raises(Unauthenticated):
            _ = call.caller


async def test_inner_methods_are_for_services_only(world: World):
    """An access token does not help, a part of the inner token neither."""
    user = ("authorization", f"Bearer {world.token()}")
    for metadata in ((), (user,), ((INNER_TOKEN_KEY, ""),), ((INNER_TOKEN_KEY, INNER[:-1]),)):
        with pytest.raises(PermissionDenied):
            await world.call("Inner", "hello", metadata=metadata)
    assert await world.call("Inner", "hello", metadata=((INNER_TOKEN_KEY, INNER),)) == ["hello"]
    assert world.servicer.calls[0].identity is None


@pytest.mark.parametrize("rate", [Rate(0.001, 2)])
async def test_limits_count_by_user_and_method(world: World):
    """Inner calls are not counted; who is unknown cannot use up a user's tokens."""
    for _ in range(30):
        with pytest.raises(Unauthenticated):
            await world.call("Unary", "hello", metadata=())
    for _ in range(2):
        await world.call("Unary", "hello")
    with pytest.raises(RateLimited) as caught:
        await world.call("Unary", "hello")
    assert caught.value.retry_after is not None
    await world.call("ClientStream", "hello")
    await world.call("Unary", "hello", metadata=(("authorization", f"Bearer {world.token(sub='u2')}"),))
    for _ in range(10):
        await world.call("Inner", "hello", metadata=((INNER_TOKEN_KEY, INNER),))


@pytest.mark.parametrize("rate", [Rate(0.001, 1)])
async def test_a_refused_call_costs_no_more_than_its_refusal(world: World):
    """It is not even parsed."""
    await world.call("Unary", "hello")
    with pytest.raises(RateLimited):
        await world.call("Unary", b"\xff\xff")


@pytest.mark.parametrize("rate", [Rate(0.001, 1)])
async def test_all_who_are_unknown_share_ten_times_as_much(world: World):
    """Ways in for everybody stay open, and bounded."""
    for _ in range(10):
        await world.call("Public", "hello", metadata=())
    with pytest.raises(RateLimited):
        await world.call("Public", "hello", metadata=())


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_call_that_is_cancelled_is_closed_at_once(world: World, shape: str, lines: Lines):
    """What it holds is given back then, and its line in the log says so."""
    before = open_streams(shape)
    call = world.open(shape, ask("hang"))
    answers = asyncio.create_task(drain(call, [])) if shape in ("ServerStream", "BidiStream") else None
    async with asyncio.timeout(10):
        await world.servicer.waits.wait()
        if shape in ("ServerStream", "BidiStream"):
            assert open_streams(shape) == before + 1
        call.cancel()
        await world.servicer.closed.wait()
    if answers is not None:
        await asyncio.wait([answers])
        assert answers.cancelled()
    (line,) = await lines.come(1)
    assert (line["method"], line["code"]) == (f"/tests.kernel.Shapes/{shape}", "CANCELLED")
    assert open_streams(shape) == before


async def test_a_stream_that_its_client_does_not_read_is_closed_when_the_client_leaves(world: World, lines: Lines):
    """In the middle of a write, and before the call is over: not when somebody finds the time."""
    lines.look = world.servicer.closed.is_set
    call = world.open("ServerStream", ask("flood"))
    await anext(aiter(call))
    call.cancel()
    (line,) = await lines.come(1)
    assert (line["code"], line["seen"]) == ("CANCELLED", True)


def open_streams(shape: str) -> float:
    labels = {"method": f"/tests.kernel.Shapes/{shape}"}
    return REGISTRY.get_sample_value("stonechat_open_streams", labels) or 0.0


async def test_every_call_is_one_line_and_one_count(world: World, lines: Lines):
    """Method, code, duration and user; the trace when there is one; never a token."""
    trace = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"
    secret = world.token()
    before = {code: counted("Unary", code) for code in ("OK", "UNAVAILABLE", "UNAUTHENTICATED")}
    await world.call("Unary", "hello", metadata=(("authorization", f"Bearer {secret}"), ("traceparent", trace)))
    with pytest.raises(StonechatError):
        await world.call("Unary", "busy")
    with pytest.raises(StonechatError):
        await world.call("Unary", "hello", metadata=())
    found = await lines.come(3)
    assert [(line["code"], line["user"], line["trace"]) for line in found] == [
        ("OK", "u1", "ab" * 16),
        ("UNAVAILABLE", "u1", ""),
        ("UNAUTHENTICATED", "", ""),
    ]
    assert all(line["method"] == "/tests.kernel.Shapes/Unary" and line["ms"] >= 0 for line in found)
    assert len({line["call_id"] for line in found}) == 3
    assert secret not in str(found)
    for code, count in before.items():
        assert counted("Unary", code) == count + 1


def counted(method: str, code: str) -> float:
    labels = {"method": f"/tests.kernel.Shapes/{method}", "code": code}
    return REGISTRY.get_sample_value("stonechat_calls_total", labels) or 0.0


async def test_a_servicer_sees_how_long_its_caller_waits(world: World):
    """Never more than the default."""
    await world.call("Unary", "hello")
    (call,) = world.servicer.calls
    assert 0 < call.time_remaining(60.0) < 11.0  # gRPC rounds a deadline up
    assert call.time_remaining(0.5) == 0.5


def test_a_servicer_without_one_of_the_methods_cannot_be_served():
    """That is noticed at the start, not by the first caller."""
    chain = CallChain(None, None, None, Rate(1, 1), SystemClock())  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="Unary"):
        handlers(chain, SERVICE, object())
