"""What no server should ever say is told of as garbage; the session lives on, and says nothing of it to a server later."""

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status

from stonechat.messaging.v1.conversation_event_pb2 import (
    ConversationEvent,
    ConversationJoined,
    ConversationLeft,
    ConversationOpened,
    Message,
)
from stonechat.messaging.v1.event_pb2 import Behind, ConversationHead, Event, HelloPage, Result, Sent
from stonechat_client import CallFailed, Client, NotReachable, Problem, ProblemKind, new_id
from stonechat_client.errors import from_status
from tests.sdk.server import DIRECT, INBOX
from tests.sdk.test_session import connected, events, until

GARBAGE = {
    "behind nothing": Event(behind=Behind(conversation_id="", last_seq=3)),
    "behind a long name": Event(behind=Behind(conversation_id="g" * 65, last_seq=3)),
    "a head without a name": Event(hello_page=HelloPage(conversations=[ConversationHead(last_seq=3)])),
    "an event of a long name": Event(
        conversation_event=ConversationEvent(conversation_id="g" * 65, seq=1, message_id="m1.1", message=Message())
    ),
    "a time that is none": Event(
        conversation_event=ConversationEvent(
            conversation_id=DIRECT, seq=1, message_id="m1.1", timestamp=Timestamp(seconds=2**60), message=Message()
        )
    ),
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE)
async def test_it_is_told_of_and_the_session_lives_on(client, server, said):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        await server.tell(said)
        *_, found = await until(session, lambda item: isinstance(item, Problem))
        assert found.kind is ProblemKind.GARBAGE
        await server.post("one")
        assert await events(session, 1) == ["one"]
    assert set(client.cache.spans()) == {DIRECT, INBOX}


@pytest.mark.parametrize(
    "body",
    [
        {"joined": ConversationJoined(conversation_id="g1", seq=0)},
        {"joined": ConversationJoined(conversation_id="", seq=1)},
        {"left": ConversationLeft(conversation_id="", seq=1)},
        {"opened": ConversationOpened(conversation_id="")},
    ],
    ids=["joined before the beginning", "joined nothing", "left nothing", "opened nothing"],
)
async def test_an_inbox_that_names_no_place_changes_nothing(client, server, body):
    async with client.connect() as session:
        await connected(session)
        await server.store(INBOX, **body)
        await events(session, 1, INBOX)
        await server.post("one")
        assert await events(session, 1) == ["one"]
    assert set(client.cache.spans()) == {DIRECT, INBOX}


async def test_a_send_that_is_answered_with_no_place_is_not_sent(client, server, monkeypatch):
    async def send(request):
        return Result(sent=Sent())

    monkeypatch.setattr(server, "_send", send)
    async with client.connect() as session:
        await connected(session)
        with pytest.raises(CallFailed, match="place"):
            await session.send(DIRECT, "one", new_id())


def test_an_error_of_a_code_that_is_none_is_an_error_all_the_same():
    assert from_status(Status(code=999, message="?")).code == "UNKNOWN"


async def test_an_answer_that_cannot_be_read_is_no_answer():
    async def babble(request, context):
        return b"\xff\xff\xff"

    handler = grpc.unary_unary_rpc_method_handler(babble)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("stonechat.users.v1.UserService", {"SignIn": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Client(f"http://127.0.0.1:{port}") as client:
            with pytest.raises(NotReachable, match="cannot be read"):
                await client.sign_in("alice", "password")
    finally:
        await server.stop(grace=None)
