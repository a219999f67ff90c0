"""Every surface through a real Envoy: what gets through, and that refusals look alike wherever they were made."""

import base64
import json
from collections.abc import AsyncIterator

import grpc
import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat.users.v1 import user_service_pb2 as users
from svc.controlplane.wire.filters import MAX_REQUEST_BYTES
from tests.controlplane.instance import Running, bearer, instance
from tests.controlplane.stand import MESSAGING, Stand, frame, said, stand

pytestmark = pytest.mark.asyncio(loop_scope="module")
PAGE = {"origin": "http://localhost:5173"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind() -> AsyncIterator[Running]:
    async with instance("a") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(behind: Running, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    async with stand(tmp_path_factory.mktemp("edge"), behind) as opened:
        yield opened


def shape(answer: httpx.Response) -> tuple[int, int, str]:
    """HTTP status, code and reason of a refusal over REST."""
    body = answer.json()
    (info,) = [detail for detail in body["details"] if detail["@type"].endswith("google.rpc.ErrorInfo")]
    assert info["domain"] == "stonechat"
    assert body["message"]
    return answer.status_code, body["code"], info["reason"]


def reason(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str]:
    """Code and reason of a refusal over gRPC."""
    details = dict(error.trailing_metadata() or ()) | dict(error.initial_metadata() or ())
    status = Status.FromString(details["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "stonechat"
    return error.code(), info.reason


async def test_a_stream_goes_both_ways_and_knows_its_user(here, behind):
    stream = here.connect("u7")
    assert said(await stream.read()) == ["a"]
    await stream.write(frame("hello"))
    assert said(await stream.read()) == ["hello"]
    assert behind.seen["x-stonechat-user"] == "u7"
    assert behind.seen["authorization"].startswith("Bearer ")
    stream.cancel()


async def test_rest_prints_zeros_and_names_as_json_has_them(here):
    answer = await here.http.post("/v1/messages/send", json={"to": "u2", "content": "hi"}, headers=bearer())
    assert answer.json() == {"messageId": "a", "status": "sent", "conversationId": "", "seq": "0"}


async def test_an_event_stream_carries_last_event_id_to_the_service(here, behind):
    headers = bearer() | {"last-event-id": "c1.5"}
    answer = await here.http.get("/v1/events/stream", headers=headers)
    assert answer.headers["content-type"] == "text/event-stream"
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert [event["cursor"] for event in events] == ["a.0", "a.1", "a.2"]
    assert behind.seen["last-event-id"] == "c1.5"


async def test_grpc_web_reaches_a_server_stream(here):
    headers = bearer() | PAGE | {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    answer = await here.http.post(f"{MESSAGING}/Subscribe", headers=headers, content=b"\0\0\0\0\0")
    body = answer.content
    size = int.from_bytes(body[1:5], "big")
    assert messaging.SubscribeResponse.FromString(body[5 : 5 + size]).events[0].behind.conversation_id == "a"
    assert body[5 + size] == 0x80  # the trailers
    assert b"grpc-status:0" in body[5 + size :]
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]


async def test_http2_with_prior_knowledge_serves_rest_too(here):
    async with httpx.AsyncClient(http1=False, http2=True, base_url=here.edge.url, trust_env=False) as http:
        answer = await http.get("/v1/conversations", headers=bearer())
    assert (answer.http_version, answer.json()["nextPageToken"]) == ("HTTP/2", "a")


async def test_what_needs_no_token_gets_through_without_one(here):
    assert (await here.http.post("/v1/users/sign-in", json={"username": "a"})).json()["userId"] == "u1"
    assert (await here.http.get("/.well-known/jwks.json")).json()["keys"][0]["kid"] == "k1"
    assert (await here.http.get("/healthz")).status_code == 200
    check = here.channel.unary_unary("/grpc.health.v1.Health/Check")
    health = health_pb2.HealthCheckResponse.FromString(await check(b""))
    assert health.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_answers_through_the_edge(here):
    ask = here.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
    question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    stream = ask(iter([question]))
    answer = reflection_pb2.ServerReflectionResponse.FromString(await anext(aiter(stream)))
    assert answer.list_services_response.service


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, "UNAUTHENTICATED"),
        ({"authorization": "Bearer nonsense"}, "UNAUTHENTICATED"),
        (bearer(aud="somebody else"), "UNAUTHENTICATED"),
        (bearer(key=Ed25519PrivateKey.generate()), "UNAUTHENTICATED"),
        (bearer(seconds=-300), "TOKEN_EXPIRED"),
    ],
)
async def test_a_call_without_a_good_token_is_refused_alike_on_every_surface(here, headers, expected):
    assert shape(await here.http.get("/v1/conversations", headers=headers)) == (401, 16, expected)

    call = here.channel.unary_unary(f"{MESSAGING}/SendMessage")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"", metadata=tuple(headers.items()))
    assert reason(refused.value) == (grpc.StatusCode.UNAUTHENTICATED, expected)

    web = headers | PAGE | {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    answer = await here.http.post(f"{MESSAGING}/Subscribe", headers=web, content=b"\0\0\0\0\0")
    assert (answer.status_code, answer.headers["grpc-status"], answer.content) == (200, "16", b"")
    padded = answer.headers["grpc-status-details-bin"] + "=="
    assert expected.encode() in base64.b64decode(padded)
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]  # else a page could not read it


async def test_an_error_of_a_service_passes_unchanged(here):
    answer = await here.http.post("/v1/messages/send", json={"to": "?", "content": "denied"}, headers=bearer())
    assert shape(answer) == (400, 3, "INVALID_FIELD")
    (violations,) = [detail["fieldViolations"] for detail in answer.json()["details"] if "fieldViolations" in detail]
    assert violations[0]["field"] == "to"
    assert violations[0]["description"] == "must be a user or a group"


@pytest.mark.parametrize(
    ("method", "path", "sent", "expected"),
    [
        ("GET", "/nowhere", {}, (404, 5, "NOT_FOUND")),
        ("PUT", "/v1/messages/send", {}, (404, 5, "NOT_FOUND")),
        ("GET", "/v1/conversations?nonsense=1", {}, (400, 3, "MALFORMED_REQUEST")),
        ("GET", "/v1/users%2fu1", {}, (400, 3, "MALFORMED_REQUEST")),
        ("GET", "/v1/conversations", {"headers": bearer() | {"x_user": "u2"}}, (400, 3, "MALFORMED_REQUEST")),
        ("POST", "/v1/messages/send", {"content": b"{"}, (400, 3, "MALFORMED_REQUEST")),
        ("POST", "/v1/messages/send", {"json": {"to": 7}}, (400, 3, "MALFORMED_REQUEST")),
        (
            "POST",
            "/v1/messages/send",
            {"json": {"content": "a" * (MAX_REQUEST_BYTES + 1)}},
            (413, 3, "MALFORMED_REQUEST"),
        ),
        ("POST", "/stonechat.messaging.v1.MessagingService/SendMessage", {"json": {}}, (404, 5, "NOT_FOUND")),
        ("POST", "/stonechat.delivery.v1.DeliveryService/ListDeadLetters", {"json": {}}, (404, 5, "NOT_FOUND")),
    ],
)
async def test_what_the_edge_refuses_over_rest_has_our_form(here, method, path, sent, expected):
    assert shape(await here.http.request(method, path, **{"headers": bearer(), **sent})) == expected


@pytest.mark.parametrize(
    "method",
    [
        f"{MESSAGING}/Nonsense",
        "/stonechat.delivery.v1.DeliveryService/ListDeadLetters",
        "/stonechat.users.v1.DirectoryService/CheckUsers",
    ],
)
async def test_a_call_that_the_edge_does_not_route_is_unimplemented(here, method):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await here.channel.unary_unary(method)(b"", metadata=tuple(bearer().items()))
    assert reason(refused.value) == (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED")


async def test_a_large_call_is_refused_and_a_large_enough_one_is_not(here):
    await here.call(f"{MESSAGING}/SendMessage", messaging.SendMessageRequest(content="a" * (MAX_REQUEST_BYTES - 100)))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await here.call(f"{MESSAGING}/SendMessage", messaging.SendMessageRequest(content="a" * MAX_REQUEST_BYTES))
    assert reason(refused.value) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


async def test_headers_that_only_the_edge_may_set_are_taken_away(here, behind):
    forged = {"x-stonechat-user": "somebody", "x-envoy-original-path": "/x"}
    await here.http.post("/v1/users/sign-in", json={"username": "a"}, headers=forged)
    assert "x-stonechat-user" not in behind.seen
    await here.channel.unary_unary("/stonechat.users.v1.UserService/SignIn")(
        users.SignInRequest().SerializeToString(), metadata=tuple(forged.items())
    )
    assert {"x-stonechat-user", "x-envoy-original-path"} & set(behind.seen) == set()


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:5173", True),
        ("http://localhost", True),
        ("http://127.0.0.1:3000", True),
        ("http://localhost.example:80", False),
        ("https://elsewhere.example", False),
    ],
)
async def test_pages_of_allowed_origins_may_ask(here, origin, allowed):
    headers = {"origin": origin, "access-control-request-method": "POST"}
    for path in ("/v1/messages/send", f"{MESSAGING}/Subscribe"):
        answer = await here.http.request("OPTIONS", path, headers=headers)
        assert (answer.headers.get("access-control-allow-origin") == origin) is allowed


async def test_a_read_is_tried_again_and_a_send_is_not(here, behind):
    behind.failures = 1
    assert (await here.http.get("/v1/conversations", headers=bearer())).json()["nextPageToken"] == "a"
    sent = await here.http.post("/v1/messages/send", json={"content": "unavailable"}, headers=bearer())
    assert sent.status_code == 503
    assert behind.seen.get("x-envoy-attempt-count", "1") == "1"


async def test_a_lone_instance_is_never_put_to_rest(here, behind):
    """Ten failures in a row would eject it, were there another."""
    for _ in range(10):
        await here.http.post("/v1/messages/send", json={"content": "unavailable"}, headers=bearer())
    answer = await here.http.post("/v1/messages/send", json={"content": "hi"}, headers=bearer())
    assert answer.status_code == 200
