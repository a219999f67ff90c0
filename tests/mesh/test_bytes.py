"""What is no request at all: refused where it arrives, in the form of the surface it came by, and nothing fails of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc.status_pb2 import Status

from stonechat.messaging.v1 import messaging_service_pb2 as messaging
from stonechat_conformance.device import Device
from stonechat_conformance.people import People, direct
from stonechat_conformance.refusal import Refused, from_json, from_status
from stonechat_conformance.surfaces.native import call_raw
from stonechat_conformance.surfaces.web import GrpcWeb, frame
from tests.mesh.bystanders import bystanders

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEND = "/stonechat.messaging.v1.MessagingService/SendMessage"
SUBSCRIBE = "/stonechat.messaging.v1.MessagingService/Subscribe"
MALFORMED = Refused("INVALID_ARGUMENT", "MALFORMED_REQUEST")
NO_MESSAGE = {
    "nonsense": b"\xff\xff",
    "text that is not UTF-8": b"\x0a\x02u1\x12\x02\xff\xfe",
    "text that is not UTF-8 in a field that is checked elsewhere": b"\x22\x02\xc3\x28",
    "a length beyond the end": b"\x0a\x7f",
    "a varint without an end": b"\x0a" + b"\x80" * 11,
    "20,000 groups deep": b"\x1b" * 20_000,
    "300 kB": messaging.SendMessageRequest(content="a" * 300_000).SerializeToString(),
}
# What each value of `seq` comes to; over REST a wrong one is malformed, as it is no value of the type.
NOT_A_SEQ = [-1, 2**64, str(2**64), "-1", 1.5, 1e300, 10**400, "abc", True, [1], {"a": 1}, ""]
NOT_A_MESSAGE = {
    "text that is not UTF-8": b'{"to":"u1","content":"\xff\xfe","type":"text"}',
    "half a surrogate": b'{"to":"u1","content":"\\ud800","type":"text"}',
    "a number for text": b'{"to":7}',
    "an object for text": b'{"content":{}}',
    "an array": b"[]",
    "null": b"null",
    "a string": b'"x"',
    "broken off": b"{",
    "more behind it": b"{}x",
    "5,000 objects deep": b'{"x":' * 5_000,
    "100,000 arrays deep": b'{"x":' + b"[" * 100_000,
    "a form": b"to=u1&content=hi",
}


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def others(people: People) -> AsyncIterator[None]:
    async with bystanders(people):
        yield


@pytest_asyncio.fixture(loop_scope="session")
async def alice(people: People) -> Device:
    return await people.sign_in(await people.register(), "rest+poll")


async def test_bytes_that_are_no_message_over_grpc(people: People, alice: Device):
    for what, raw in {**NO_MESSAGE, "5 MB": b"\x12" + b"a" * 5_000_000}.items():
        with pytest.raises(Refused) as refused:
            await call_raw(people.network, SEND, raw, alice.token)
        assert refused.value == MALFORMED, what


@pytest.mark.parametrize("text", [False, True])
async def test_bytes_that_are_no_message_over_grpc_web(people: People, alice: Device, text: bool):
    # httpcore's HTTP/2 trips over an answer that comes before it has sent all of a large body.
    browser = GrpcWeb(people.network, text, http1=True)
    for what, raw in NO_MESSAGE.items():
        with pytest.raises(Refused) as refused:
            await browser.call_raw(SEND, frame(raw), alice.token)
        assert refused.value == MALFORMED, what
    with pytest.raises(Refused) as refused:
        await anext(browser.stream_raw(SUBSCRIBE, frame(b"\xff\xff"), alice.token))
    assert refused.value == MALFORMED


async def test_text_that_is_no_base64(people: People, alice: Device):
    kind = {"content-type": "application/grpc-web-text+proto", "authorization": f"Bearer {alice.token}"}
    for body in (b"%%%%", b"AAA", b"AAAAA==="):
        answer = await people.network.http1.post(SEND, headers=kind, content=body)
        assert (answer.status_code, answer.headers["grpc-status"]) == (200, "3")


async def test_bodies_that_are_no_json_of_a_message(people: People, alice: Device):
    kind = {"content-type": "application/json", "authorization": f"Bearer {alice.token}"}
    large = {size: json.dumps({"content": "a" * size}).encode() for size in (300_000, 5_000_000)}
    for what, body in {**NOT_A_MESSAGE, **large}.items():
        answer = await people.network.http1.post("/v1/messages/send", headers=kind, content=body)
        assert from_json(answer.status_code, answer.json()) == MALFORMED, what
        assert answer.status_code == (413 if body in large.values() else 400)


async def test_numbers_that_are_none(people: People, alice: Device):
    bob = await people.sign_in(await people.register(), "rest+poll")
    await alice.send(bob.user_id, "hi")
    talk = direct(alice, bob)
    headers = {"authorization": f"Bearer {alice.token}"}
    http = people.network.http1
    for value in NOT_A_SEQ:
        answer = await http.post(f"/v1/conversations/{talk}/read", headers=headers, json={"seq": value})
        assert from_json(answer.status_code, answer.json()) == MALFORMED, value
    for value in ("1", 1, 1.0):
        answer = await http.post(f"/v1/conversations/{talk}/read", headers=headers, json={"seq": value})
        assert (answer.status_code, answer.json()) == (200, {}), value
    for query in (
        "limit=-1",
        "limit=99999999999",
        "limit=abc",
        "limit=",
        "limit=1.5",
        "nonsense=1",
        "lastMessageId=%ff",
    ):
        answer = await http.get(f"/v1/messages/{talk}?{query}", headers=headers)
        assert from_json(answer.status_code, answer.json()) == MALFORMED, query


async def test_json_fields_that_we_do_not_know_are_passed_over(people: People, alice: Device):
    """A newer client may send more; both spellings of a name count, and the path is stronger than the body."""
    bob = await people.sign_in(await people.register(), "rest+poll")
    headers = {"authorization": f"Bearer {alice.token}"}
    body = {"to": bob.user_id, "content": "hi", "type": "text", "client_message_id": "k", "somethingNew": {"a": [1]}}
    answers = [await people.network.http1.post("/v1/messages/send", headers=headers, json=body) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json() == {
        "messageId": answers[0].json()["messageId"],
        "status": "sent",
        "conversationId": direct(alice, bob),
        "seq": "1",
    }


async def stream_end(people: People, token: str, *frames: bytes) -> Any:
    """How a Connect stream ends that begins with these frames."""
    device = people.network.channel.stream_stream("/stonechat.messaging.v1.MessagingService/Connect")
    stream = device(metadata=(("authorization", f"Bearer {token}"),))
    try:
        async with asyncio.timeout(20):
            for raw in frames:
                await stream.write(raw)
            while await stream.read() is not grpc.aio.EOF:
                pass
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    finally:
        stream.cancel()
    details = dict(await stream.trailing_metadata()).get("grpc-status-details-bin")
    if details is None:
        return await stream.code()
    return from_status(Status.FromString(details))


HELLO = messaging.ConnectRequest(hello=messaging.Hello()).SerializeToString()
TYPING = messaging.ConnectRequest(request_id=1, typing=messaging.SendTypingRequest(conversation_id="d.u1.u2"))


def known(count: int) -> list[messaging.KnownConversation]:
    return [messaging.KnownConversation(conversation_id=f"d.u1.u{number}") for number in range(2, count + 2)]


async def test_frames_that_may_not_come_end_the_stream(people: People, alice: Device):
    violation = Refused("FAILED_PRECONDITION", "PROTOCOL_VIOLATION", ("hello",))
    too_many = messaging.ConnectRequest(hello=messaging.Hello(known=known(5_000))).SerializeToString()
    odd = messaging.ConnectRequest(hello=messaging.Hello(known=[messaging.KnownConversation(conversation_id="x")]))
    cases = {
        "nonsense first": ([b"\xff\xff"], MALFORMED),
        "nonsense later": ([HELLO, b"\xff\xff"], MALFORMED),
        "Hello twice": ([HELLO, HELLO], violation),
        "another frame first": ([TYPING.SerializeToString()], violation),
        "an empty frame first": ([b""], Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("frame",))),
        "5,000 known": ([too_many], Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("known",))),
        "a known that is none": (
            [odd.SerializeToString()],
            Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("known[0].conversation_id",)),
        ),
    }
    for what, (frames, expected) in cases.items():
        assert await stream_end(people, alice.token, *frames) == expected, what
    # gRPC itself refuses what is larger than half a MB, before anything of ours sees it, so there are no details. Its client
    # may see no more of that than that its write failed.
    end = await stream_end(people, alice.token, HELLO, b"a" * 5_000_000)
    assert end in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)


async def test_the_most_that_may_be_known_is_answered(people: People, alice: Device):
    request = messaging.SubscribeRequest(known=known(4_096)).SerializeToString()
    raw = await anext(GrpcWeb(people.network, text=False).stream_raw(SUBSCRIBE, frame(request), alice.token))
    (event,) = messaging.SubscribeResponse.FromString(raw).events
    assert len(event.hello_page.gone) == 4_096
    request = messaging.SubscribeRequest(known=known(5_000)).SerializeToString()
    with pytest.raises(Refused) as refused:
        await anext(GrpcWeb(people.network, text=False).stream_raw(SUBSCRIBE, frame(request), alice.token))
    assert refused.value == Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("known",))


async def test_a_frame_that_is_refused_does_not_end_the_stream(people: People):
    alice, bob = await people.two("connect")
    stream: Any = alice.surface
    with pytest.raises(Refused) as refused:
        await alice.send(bob.user_id, "a" * 300_000)
    assert refused.value == Refused("INVALID_ARGUMENT", "INVALID_FIELD", ("content",))
    result = await stream.ask(messaging.ConnectRequest())
    assert result.error.message.startswith("frame: ")
    no_key = messaging.SendMessageRequest(to=bob.user_id, content="hi", type="text")
    result = await stream.ask(messaging.ConnectRequest(send=no_key))
    assert result.error.message.startswith("client_message_id: ")
    await stream.write(messaging.ConnectRequest(send=no_key))  # without a request id nobody can be told
    await alice.send(bob.user_id, "still here")
    await bob.until_messages(direct(alice, bob), ["still here"])
