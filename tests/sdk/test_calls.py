"""Unary calls: addresses, tokens, and errors that say what to do."""

import asyncio

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo

from stonechat_client import CallFailed, Client, InvalidRequest, NotReachable, SignedOut
from stonechat_client.calls import to_address
from stonechat_client.errors import from_status
from tests.sdk.server import DIRECT, USER, status


@pytest.mark.parametrize("server", ["http://127.0.0.1:8080", "http://127.0.0.1:8080/", "127.0.0.1:8080"])
def test_a_server_is_named_by_host_and_port(server):
    assert to_address(server) == "127.0.0.1:8080"


@pytest.mark.parametrize(
    "server", ["", "localhost", "https://localhost:8080", "http://localhost", "http://h:1/path", "h:x"]
)
def test_what_is_no_server_says_what_is_expected(server):
    with pytest.raises(ValueError, match="expected http://host:port"):
        to_address(server)


async def test_signing_in_says_who_one_is(client):
    assert client.user_id == USER


async def test_a_wrong_password_is_told(client):
    with pytest.raises(CallFailed) as raised:
        await client.sign_in("alice", "wrong")
    assert (raised.value.code, raised.value.reason) == ("UNAUTHENTICATED", "WRONG_CREDENTIALS")


async def test_a_rule_is_checked_before_anything_is_sent(client):
    with pytest.raises(InvalidRequest) as raised:
        await client.register("A", "password")
    assert raised.value.field == "username"


async def test_a_token_that_has_ended_is_replaced_once_for_all_who_ask(client, server):
    server.ended_tokens = {"access-1"}
    await asyncio.gather(*(client.list_events(DIRECT, 0) for _ in range(5)))
    assert server.tokens_issued == 2


async def test_when_no_token_is_good_any_more_one_is_signed_out(client, server):
    server.revoked = True
    with pytest.raises(SignedOut):
        await client.list_events(DIRECT, 0)


async def test_without_signing_in_nothing_private_can_be_called():
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(SignedOut, match="sign in first"):
            await client.list_events(DIRECT, 0)


async def test_nobody_there_is_told_apart_from_a_refusal():
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(NotReachable):
            await client.sign_in("alice", "password")


async def test_a_refusal_holds_what_the_server_said(client, server):
    server.hidden.add(DIRECT)
    with pytest.raises(CallFailed) as raised:
        await client.list_events(DIRECT, 0)
    assert (raised.value.code, raised.value.reason, raised.value.transient) == ("NOT_FOUND", "NOT_FOUND", False)


def test_details_of_a_status_are_read():
    told = status("UNAVAILABLE", "BUSY", "come back")
    told.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)))
    told.details.add().Pack(BadRequest(field_violations=[BadRequest.FieldViolation(field="to", description="must")]))
    error = from_status(told)
    assert (error.code, error.reason, error.field, error.retry_after) == ("UNAVAILABLE", "BUSY", "to", 1.5)
    assert error.transient
    assert str(error) == "come back"
    assert grpc.StatusCode[error.code] is grpc.StatusCode.UNAVAILABLE
