"""The tree of errors agrees with the contract, and survives the way between services."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status

from stonechat.errors.v1.error_reason_pb2 import ErrorReason
from svc.kernel import errors
from svc.kernel.channels import Channels, translate
from svc.kernel.errors import InvalidField, StartError, StonechatError, Unavailable
from svc.kernel.registry import Instance, ProcessRegistry
from svc.kernel.status import DETAILS_KEY, DOMAIN, internal, to_status

ROOT = Path(__file__).resolve().parents[2]


def tree(root: type[StonechatError] = StonechatError) -> list[type[StonechatError]]:
    """The root and everything below it."""
    return [root, *(found for child in root.__subclasses__() for found in tree(child))]


LEAVES = [error for error in tree() if "reason" in vars(error)]


def test_every_reason_is_one_of_the_contract_and_has_one_error():
    """Clients decide by the reason."""
    reasons = [leaf.reason for leaf in LEAVES]
    names = ErrorReason.DESCRIPTOR.values_by_name
    wanted = {name.removeprefix("ERROR_REASON_") for name in names} - {"UNSPECIFIED"}
    assert sorted(reasons) == sorted(wanted)


def test_what_can_be_raised_has_a_reason():
    """Only groups of errors, and what stops the start, have none of their own."""
    without = {error for error in tree() if "reason" not in vars(error)}
    assert without == {errors.CallerError, errors.Transient, errors.FailedPrecondition, StartError, *tree(StartError)}


@pytest.mark.parametrize("error", tree(), ids=lambda error: error.__name__)
def test_every_code_is_one_of_grpc(error: type[StonechatError]):
    """And the contract names it beside the reason."""
    assert error.code in grpc.StatusCode.__members__


def test_the_contract_names_the_code_of_every_reason():
    """What the comment of a reason says is what callers get."""
    text = (ROOT / "protos/stonechat/errors/v1/error_reason.proto").read_text()
    for leaf in LEAVES:
        assert f"// ERROR_REASON_{leaf.reason} ({leaf.code}):" in text


def test_every_error_says_whether_repeating_helps():
    """There is no leaf outside the two branches, but for a fault of ours."""
    branches = (errors.CallerError, errors.Transient)
    assert [leaf for leaf in LEAVES if not issubclass(leaf, branches)] == [StonechatError]


def make(leaf: type[StonechatError], **fields: Any) -> StonechatError:
    return leaf("content", "must be text") if leaf is InvalidField else leaf("in words", **fields)


def details(status: Status, kind: Any) -> list[Any]:
    found = []
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_a_status_says_what_was_raised(leaf: type[StonechatError]):
    """Code, words, reason and domain, and the field that it is about."""
    status = to_status(make(leaf, field="content"))
    (info,) = details(status, error_details_pb2.ErrorInfo)
    (bad,) = details(status, error_details_pb2.BadRequest)
    assert status.code == grpc.StatusCode[leaf.code].value[0]
    assert (info.reason, info.domain) == (leaf.reason, DOMAIN)
    assert bad.field_violations[0].field == "content"
    assert status.message in ("in words", "content: must be text")


def test_a_status_says_when_to_come_back():
    """To the millisecond."""
    (retry,) = details(to_status(errors.Busy("busy", retry_after=1.25)), error_details_pb2.RetryInfo)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 250_000_000)


def test_a_fault_of_ours_tells_its_number_and_nothing_else():
    """What happened stands in the log, under the number that the caller can report."""
    status = to_status(internal("c0ffee"), "c0ffee")
    assert details(status, error_details_pb2.RequestInfo)[0].request_id == "c0ffee"
    assert status.message == "internal error; report the request id c0ffee"


class Far:
    """Another service: answers each call with an error that a test chooses, and notes what came with the call."""

    def __init__(self) -> None:
        self.error: StonechatError = StonechatError("none chosen")
        self.plain: grpc.StatusCode | None = None
        self.metadata: dict[str, str] = {}
        self.hang = False

    async def call(self, request: bytes, context: Any) -> bytes:
        self.metadata = dict(context.invocation_metadata())
        if self.hang:
            await asyncio.Event().wait()
        if self.plain is not None:
            await context.abort(self.plain, "plain words")
        status = to_status(self.error)
        await context.abort(
            grpc.StatusCode[self.error.code],
            self.error.message,
            trailing_metadata=((DETAILS_KEY, status.SerializeToString()),),
        )
        raise AssertionError("abort raises")


@pytest.fixture
async def far():
    served = Far()
    method = grpc.unary_unary_rpc_method_handler(served.call)
    server = grpc.aio.server(handlers=[grpc.method_handlers_generic_handler("far.Service", {"Call": method})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    registry = ProcessRegistry()
    await registry.register("far", Instance(f"127.0.0.1:{port}", "boot"))
    channels = Channels(registry, "inner token")
    yield served, channels, registry
    await channels.close()
    await server.stop(grace=None)


async def call(channels: Channels, deadline: float = 10.0) -> None:
    await channels.call(channels.to("far").unary_unary("/far.Service/Call"), b"", deadline)


async def test_an_error_arrives_as_it_was_raised(far: tuple[Far, Channels, ProcessRegistry]):
    """The same class with the same words, field and time to come back: each of them."""
    served, channels, _ = far
    for leaf in LEAVES:
        served.error = make(leaf, field="content", retry_after=2.5)
        with pytest.raises(StonechatError) as caught:
            await call(channels)
        assert type(caught.value) is leaf
        assert caught.value.message == served.error.message
        assert caught.value.field == "content"
        assert caught.value.retry_after == served.error.retry_after
        if isinstance(caught.value, InvalidField):
            assert caught.value.must == "must be text"


async def test_an_error_without_more_arrives_without_more(far: tuple[Far, Channels, ProcessRegistry]):
    """No field, no time to come back."""
    served, channels, _ = far
    served.error = errors.NotFound("no such thing")
    with pytest.raises(errors.NotFound) as caught:
        await call(channels)
    assert (caught.value.field, caught.value.retry_after) == ("", None)


async def test_a_service_that_cannot_answer_is_unavailable(far: tuple[Far, Channels, ProcessRegistry]):
    """Whether it is silent, speaks in statuses of its own, or is not there at all."""
    served, channels, registry = far
    served.plain = grpc.StatusCode.DATA_LOSS
    with pytest.raises(Unavailable, match="plain words"):
        await call(channels)
    served.hang = True
    with pytest.raises(Unavailable):
        await call(channels, deadline=0.05)
    await registry.deregister("far", registry.instances("far")[0])
    with pytest.raises(Unavailable, match="no instance of far is up"):
        await call(channels)
    await registry.register("far", Instance("127.0.0.1:1", "boot"))
    with pytest.raises(Unavailable):
        await call(channels)


async def test_services_show_each_other_the_inner_token(far: tuple[Far, Channels, ProcessRegistry]):
    """With every call."""
    served, channels, _ = far
    with pytest.raises(StonechatError):
        await call(channels)
    assert served.metadata["x-stonechat-inner"] == "inner token"


def test_a_reason_that_is_newer_than_this_program_means_unavailable():
    """It may be repeated; nothing breaks."""
    info = error_details_pb2.ErrorInfo(reason="SOMETHING_NEW", domain=DOMAIN)
    status = Status(code=9, message="new")
    status.details.add().Pack(info)
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.aio.Metadata(),
        grpc.aio.Metadata((DETAILS_KEY, status.SerializeToString())),
        details="new",
    )
    assert type(translate(error)) is Unavailable
