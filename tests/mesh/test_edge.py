"""Paths, headers and services that the edge must not let through, over the wire as somebody with bad intentions writes it."""

import asyncio
import contextlib
import http.client
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from stonechat_conformance.device import Device
from stonechat_conformance.people import People
from stonechat_conformance.refusal import Refused, from_json
from stonechat_conformance.surfaces.native import call_raw
from stonechat_conformance.surfaces.web import GrpcWeb, frame
from tests.mesh.bystanders import bystanders

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNIMPLEMENTED = Refused("UNIMPLEMENTED", "UNIMPLEMENTED")
MALFORMED = Refused("INVALID_ARGUMENT", "MALFORMED_REQUEST")
NOT_FOUND = Refused("NOT_FOUND", "NOT_FOUND")
SEND = "/stonechat.messaging.v1.MessagingService/SendMessage"
INNER = [
    "/stonechat.delivery.v1.DeliveryService/ListDeadLetters",
    "/stonechat.delivery.v1.DeliveryService/Relay",
    "/stonechat.users.v1.DirectoryService/CheckUsers",
    "/stonechat.users.v1.DirectoryService/CheckDevice",
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
]


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def others(people: People) -> AsyncIterator[None]:
    async with bystanders(people):
        yield


@pytest_asyncio.fixture(loop_scope="session")
async def alice(people: People) -> Device:
    return await people.sign_in(await people.register(), "rest+poll")


async def raw_http(people: People, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    """Status and body of what a GET of this very path is answered with. OSError: the connection was cut in the middle."""

    def ask() -> tuple[int, Any]:
        # httpx would tidy up the path.
        connection = http.client.HTTPConnection(people.url.removeprefix("http://"), timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if answer.getheader("content-type") == "application/json" else None

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("path", [*INNER, f"{SEND}/", SEND.lower(), "/nothing", "/", "/stonechat.chat.v1.Unknown/Call"])
async def test_what_is_not_offered_is_unimplemented(people: People, alice: Device, path: str):
    for token in (alice.token, "none"):
        with pytest.raises(Refused) as refused:
            await call_raw(people.network, path, b"", token, ("x-stonechat-inner", "guess"))
        assert refused.value == UNIMPLEMENTED
        with pytest.raises(Refused) as refused:
            await GrpcWeb(people.network, text=False).call_raw(path, frame(b""), token)
        assert refused.value == UNIMPLEMENTED
        answer = await people.network.http1.post(path, json={}, headers={"authorization": f"Bearer {token}"})
        assert from_json(answer.status_code, answer.json()) == NOT_FOUND


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/conversations", None),
        ("//v1///conversations", None),  # slashes are merged
        ("/v1/../v1/conversations", None),
        ("/x/%2e%2e/v1/./conversations", None),
        ("/v1/conversations/../../../../../etc/passwd", NOT_FOUND),
        ("/../../etc/passwd", NOT_FOUND),
        ("/v1%2fconversations", MALFORMED),
        ("/v1/messages/..%2f..%2fconversations", MALFORMED),
        ("/v1/messages/a%5c..%5cb", MALFORMED),
        ("/v1/messages/%00", MALFORMED),
        ("/v1/messages/%ff", MALFORMED),
        ("/V1/conversations", NOT_FOUND),
        ("/v1/conversations;admin=1", NOT_FOUND),
        ("/v1/messages/d.u1.u2/events", NOT_FOUND),
        ("/v1", NOT_FOUND),
        ("/stats", NOT_FOUND),
        ("/config_dump", NOT_FOUND),
        ("/v1/messages/" + "a" * 65, Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("conversation_id",))),
    ],
)
async def test_a_path_means_what_it_says_or_nothing(people: People, alice: Device, path: str, expected: Refused | None):
    status, body = await raw_http(people, path, {"authorization": f"Bearer {alice.token}"})
    if expected is None:
        assert (status, body) == (200, {"conversations": [], "nextPageToken": ""})
    else:
        assert from_json(status, body) == expected
        assert (await raw_http(people, path, {}))[0] != 200


@pytest.mark.parametrize(
    "headers",
    [
        {f"x-h{number}": "v" for number in range(100)},
        {"x-h": "v" * 40_000},
        {"x_user": "u1"},
        {"content-length": "5", "transfer-encoding": "chunked"},
        {"transfer-encoding": "nonsense"},
    ],
    ids=["many", "large", "underscore", "two lengths", "unknown encoding"],
)
async def test_headers_that_are_too_many_or_not_what_they_seem(people: People, alice: Device, headers: dict[str, str]):
    try:
        status, _ = await raw_http(people, "/v1/conversations", {"authorization": f"Bearer {alice.token}", **headers})
        assert status in (400, 431, 501)
    except OSError:
        assert len(str(headers)) > 32_768  # still being sent when it was refused
    if "transfer-encoding" not in headers:
        # On HTTP/2 Envoy cuts the stream, and only that one.
        with pytest.raises(grpc.aio.AioRpcError) as cut:
            await people.network.channel.unary_unary(SEND)(b"", metadata=tuple(headers.items()))
        assert "RST_STREAM" in str(cut.value.details())
    with pytest.raises(Refused) as refused:
        await call_raw(people.network, SEND, b"", alice.token)
    assert refused.value == Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("to",))
