"""A session hands over everything once and in order, and gets every send an answer, whatever happens to its streams."""

import asyncio
import time
from contextlib import AsyncExitStack

import grpc
import pytest

from stonechat.messaging.v1.conversation_event_pb2 import ConversationJoined, ConversationLeft, ConversationOpened
from stonechat.messaging.v1.event_pb2 import Behind, Event, Heartbeat, TypingSignal
from stonechat_client import (
    CallFailed,
    Client,
    InvalidRequest,
    NotReachable,
    SignedOut,
    State,
    StateChanged,
    new_id,
)
from stonechat_client.renewal import Renewal
from svc.kernel.lifecycle import owned
from tests.sdk.server import DIRECT, INBOX, PEER, Server, serving, status

BREAKS = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.OK,
]


async def until(session, condition):
    """Take items until one fits; return them all."""
    taken = []
    async with asyncio.timeout(10):
        async for item in session:
            taken.append(item)
            if condition(item):
                return taken
    raise AssertionError(f"the session ended with {taken}")


async def connected(session):
    return await until(session, lambda item: item == StateChanged(State.LIVE))


def is_offline(item):
    return isinstance(item, StateChanged) and item.state is State.OFFLINE


async def events(session, count, conversation_id=DIRECT):
    """The texts or kinds of the next events of a conversation, which must be numbered without holes."""
    found = []

    def enough(item):
        if isinstance(item, Event) and item.conversation_event.conversation_id == conversation_id:
            found.append(item.conversation_event)
        return len(found) == count

    await until(session, enough)
    first = found[0].seq
    assert [event.seq for event in found] == list(range(first, first + count))
    return [event.message.content or event.WhichOneof("body") for event in found]


async def test_what_is_pushed_is_handed_over_once(client, server):
    async with client.connect() as session:
        await connected(session)
        await server.post("one", push=2)
        await server.post("two")
        assert await events(session, 2) == ["one", "two"]


async def test_a_hole_is_filled_by_pulling(client, server):
    async with client.connect() as session:
        await connected(session)
        await server.post("one")
        for number in range(7):
            await server.post(f"lost {number}", push=0)
        await server.post("last")
        assert await events(session, 9) == ["one", *(f"lost {number}" for number in range(7)), "last"]


async def test_behind_makes_it_pull(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        await server.post("one", push=0)
        await server.tell(Event(behind=Behind(conversation_id=DIRECT, last_seq=1)))
        await server.post("two")
        assert await events(session, 2) == ["one", "two"]


async def test_what_came_since_the_program_last_looked_is_pulled_and_the_rest_is_history(client, server):
    for text in ("one", "two", "three"):
        await server.post(text)
        await server.post(text, "g9")
    async with client.connect({DIRECT: 1}) as session:
        await server.post("four", "g9", push=0)
        await until(session, lambda item: item == StateChanged(State.CATCHING_UP))
        await server.post("five", "g9")
        assert await events(session, 2) == ["two", "three"]
    assert server.hellos == [{DIRECT: 1}]


async def test_an_unknown_conversation_begins_where_it_is_first_heard_of(client, server):
    await server.post("before", "g9")
    async with client.connect() as session:
        await connected(session)
        await server.post("now", "g9")
        assert await events(session, 1, "g9") == ["now"]


@pytest.mark.parametrize("code", BREAKS)
async def test_after_a_break_it_comes_back_and_misses_nothing(client, server, code):
    async with client.connect() as session:
        await connected(session)
        await server.post("one")
        assert await events(session, 1) == ["one"]
        await server.cut(code)
        await server.post("two")
        await server.post("three")
        taken = await connected(session)
        assert [item for item in taken if is_offline(item)]
        if not any(isinstance(item, Event) and item.conversation_event.seq == 3 for item in taken):
            await until(session, lambda item: isinstance(item, Event) and item.conversation_event.seq == 3)
    assert server.hellos == [{}, {INBOX: 0, DIRECT: 1}]


async def test_a_conversation_that_begins_while_the_stream_is_down_comes_whole(client, server):
    async with client.connect() as session:
        await connected(session)
        await server.cut()
        await server.post("one", push=0)
        await server.post("two", push=0)
        assert await events(session, 2) == ["one", "two"]


async def test_the_server_may_ask_to_move(client, server):
    async with client.connect() as session:
        await connected(session)
        await server.move()
        await connected(session)
        await server.post("one")
        assert await events(session, 1) == ["one"]
    assert len(server.hellos) == 2


async def test_a_new_direct_conversation_begins_at_its_first_event(client, server):
    async with client.connect() as session:
        await connected(session)
        await server.post("one", push=0)
        await server.store(INBOX, opened=ConversationOpened(conversation_id=DIRECT))
        assert await events(session, 1) == ["one"]


async def test_a_group_begins_with_joining_it_and_ends_with_leaving(client, server):
    async with client.connect() as session:
        await connected(session)
        for text in ("before", "joined", "after"):
            await server.post(text, "g9", push=0)
        await server.store(INBOX, joined=ConversationJoined(conversation_id="g9", version=2, seq=2))
        assert await events(session, 1, "g9") == ["joined"]
        await server.post("more", "g9")
        assert await events(session, 2, "g9") == ["after", "more"]
        await server.store(INBOX, left=ConversationLeft(conversation_id="g9", version=3, seq=4))
        await events(session, 1, INBOX)
        await server.cut()
        await connected(session)
    assert server.hellos[1] == {INBOX: 2}


async def test_a_group_that_was_left_and_joined_again_while_away_comes_up_to_its_end(client, server):
    for text in ("known", "left", "not for us", "joined", "one", "two"):
        await server.post(text, "g9", push=0)
    await server.store(INBOX, left=ConversationLeft(conversation_id="g9", version=2, seq=2))
    await server.store(INBOX, joined=ConversationJoined(conversation_id="g9", version=3, seq=4))
    async with client.connect({INBOX: 0, "g9": 1}) as session:
        assert await events(session, 3, "g9") == ["joined", "one", "two"]


async def test_a_conversation_that_was_lost_while_pulling_is_left_out(client, server):
    async with client.connect({"g9": 1}) as session:
        await connected(session)
        server.hidden.add("g9")
        await server.tell(Event(behind=Behind(conversation_id="g9", last_seq=5)))
        await server.post("one")
        assert await events(session, 1) == ["one"]


async def test_a_slow_program_gets_everything_all_the_same(client, server, monkeypatch):
    monkeypatch.setattr("stonechat_client.session._ROOM", 5)
    async with client.connect() as session:
        await server.until(lambda: server.streams)
        for number in range(50):
            await server.post(str(number))
        # More wait than there is room for, and still answers get through.
        assert (await session.send(DIRECT, "50", new_id())).seq == 51
        assert await events(session, 51) == [str(number) for number in range(51)]


async def test_who_leaves_and_joins_again_while_the_program_is_slow_begins_anew(client, server, monkeypatch):
    monkeypatch.setattr("stonechat_client.session._ROOM", 5)
    async with client.connect({INBOX: 0, "g9": 0}) as session:
        await connected(session)
        for number in range(1, 10):
            await server.post(str(number), "g9", push=0)
        await server.tell(Event(behind=Behind(conversation_id="g9", last_seq=9)))
        await asyncio.wait_for(_full(session), 10)  # the puller waits for room
        session._receiver._positions.left("g9", 8)
        session._receiver._positions.joined("g9", 9)
        handed = await until(session, lambda item: isinstance(item, Event) and item.conversation_event.seq == 9)
        found = [item.conversation_event.seq for item in handed if isinstance(item, Event)]
        assert found == [*range(1, len(found)), 9]
        assert len(found) < 8, "it was handed what came while the user was not there"
        await server.post("10", "g9")
        assert await events(session, 1, "g9") == ["10"]


async def _full(session):
    while session._feed.has_room():  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.005)


class Refusing(Server):
    """Fails for one conversation, whatever is asked of it."""

    async def ListEvents(self, request, context):
        if request.conversation_id == "a":
            await self._abort(context, status("INTERNAL", "INTERNAL"))
        return await super().ListEvents(request, context)


async def test_a_conversation_that_cannot_be_read_holds_no_other_up():
    server = Refusing()
    async with serving(server) as port, Client(f"http://127.0.0.1:{port}") as client:
        await client.sign_in("alice", "password")
        for name in ("a", DIRECT):
            await server.post("one", name)
        async with client.connect({"a": 0, DIRECT: 0}) as session:
            assert await events(session, 1) == ["one"]


async def test_ephemeral_events_are_handed_over_and_unknown_ones_skipped(client, server):
    async with client.connect() as session:
        await connected(session)
        await server.tell(Event(heartbeat=Heartbeat()))
        await server.tell(Event())
        await server.tell(Event(typing=TypingSignal(conversation_id=DIRECT, user_id=PEER)))
        (typing,) = await until(session, lambda item: True)
        assert typing.typing.user_id == PEER


async def test_typing_is_told(client, server):
    async with client.connect() as session:
        session.typing(DIRECT)  # lost: there is no stream yet
        await connected(session)
        session.typing(DIRECT)
        await server.until(lambda: server.typed)
    assert server.typed == [DIRECT]


async def test_a_send_returns_the_place_of_the_message(client, server):
    async with client.connect() as session:
        sent = await session.send(DIRECT, "hello", "k-1")
        assert (sent.seq, sent.message_id) == (1, "m1001.1")
    assert [event.client_message_id for event in server.conversations[DIRECT]] == ["k-1"]


async def test_a_send_without_an_answer_is_said_again_and_stored_once(client, server):
    async with client.connect() as session:
        await connected(session)
        server.answers = False
        sends = [asyncio.create_task(session.send(DIRECT, str(number), new_id())) for number in range(10)]
        await server.until(lambda: len(server.conversations[DIRECT]) == 10)
        server.answers = True
        await server.cut(grpc.StatusCode.INTERNAL)
        async with asyncio.timeout(10):
            seqs = [(await send).seq for send in sends]
    assert seqs == list(range(1, 11))
    assert [event.message.content for event in server.conversations[DIRECT]] == [str(number) for number in range(10)]


async def test_a_send_that_is_too_old_to_be_repeated_ends_with_its_outcome_unknown(client, server, monkeypatch):
    """A server knows a message by its id for 24 hours: said again after that, it might be a second one."""
    now = time.time()
    async with client.connect() as session:
        await connected(session)
        server.answers = False
        send = asyncio.create_task(session.send(DIRECT, "hello", new_id()))
        await server.until(lambda: server.conversations[DIRECT])
        monkeypatch.setattr("stonechat_client.requests.time.time", lambda: now + 24 * 3600)
        server.answers = True
        await server.cut()
        with pytest.raises(CallFailed) as raised:
            await send
        assert raised.value.reason == "OUTCOME_UNKNOWN"


async def test_more_sends_than_may_be_in_flight_all_arrive_in_order(client, server):
    async with client.connect() as session, asyncio.timeout(30):
        sends = [session.send(DIRECT, str(number), new_id()) for number in range(200)]
        assert [sent.seq for sent in await asyncio.gather(*sends)] == list(range(1, 201))


async def test_a_send_whose_outcome_is_unknown_is_repeated(client, server):
    async with client.connect() as session:
        server.refusals = [status("UNAVAILABLE", "OUTCOME_UNKNOWN")] * 2
        assert (await session.send(DIRECT, "hello", new_id())).seq == 1


async def test_a_send_that_is_refused_says_why(client, server):
    async with client.connect() as session:
        server.refusals = [status("RESOURCE_EXHAUSTED", "RATE_LIMITED", "slow down")]
        with pytest.raises(CallFailed, match="slow down") as raised:
            await session.send(DIRECT, "hello", new_id())
        assert raised.value.reason == "RATE_LIMITED"


async def test_what_breaks_a_rule_is_not_sent(client, server):
    async with client.connect() as session:
        await connected(session)
        with pytest.raises(InvalidRequest) as raised:
            await session.send(DIRECT, "x" * 16_385, new_id())
        assert raised.value.field == "content"
    assert server.conversations[DIRECT] == []


async def test_a_cancelled_send_leaves_the_session_as_it_was(client, server):
    async with client.connect() as session:
        await connected(session)
        server.answers = False
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await session.send(DIRECT, "one", new_id())
        server.answers = True
        await session.send(DIRECT, "two", new_id())


async def test_the_token_is_replaced_before_it_ends_and_the_stream_lives_on(client, server):
    server.expires_in = 1
    await client.sign_in("alice", "password")
    async with client.connect() as session:
        await connected(session)
        await server.until(lambda: server.renewed)
    assert server.renewed[0] == "access-3"
    assert len(server.hellos) == 1


async def test_a_renewal_that_fails_is_tried_again_before_the_old_token_ends(client, server, monkeypatch):
    monkeypatch.setattr("stonechat_client.renewal._LEAST_SECONDS", 0.01)
    async with client.connect() as session:
        await connected(session)
        server.unrenewed = 2
        client._calls.tokens._worn_at = 0.0
        async with owned(Renewal(client._calls.tokens, session._requests).run(), "renewal"):
            await server.until(lambda: len(server.renewed) == 3)
    assert set(server.renewed) == {"access-2"}


async def test_a_stream_whose_token_has_ended_comes_back_with_a_new_one(client, server):
    server.ended_tokens = {"access-1"}
    async with client.connect() as session:
        await connected(session)
    assert server.tokens_issued == 2


@pytest.mark.parametrize("when", ["before the stream", "during the stream"])
async def test_a_device_that_is_signed_out_ends_the_session(client, server, when):
    server.revoked = when == "before the stream"
    async with client.connect() as session:
        if when == "during the stream":
            await connected(session)
            server.revoked = True
            await server.cut(grpc.StatusCode.UNAUTHENTICATED)
        with pytest.raises(SignedOut):
            await until(session, lambda item: False)
        with pytest.raises(SignedOut):
            await session.send(DIRECT, "hello", new_id())


async def test_a_session_that_is_refused_for_good_ends(client, server):
    async with client.connect() as session:
        await connected(session)
        await server.cut(grpc.StatusCode.FAILED_PRECONDITION)
        with pytest.raises(CallFailed, match="cut"):
            await until(session, lambda item: False)


async def test_a_server_that_restarts_is_found_again():
    server = Server()
    async with AsyncExitStack() as stack:
        async with serving(server) as port:
            client = await stack.enter_async_context(Client(f"http://127.0.0.1:{port}"))
            await client.sign_in("alice", "password")
            session = await stack.enter_async_context(client.connect())
            await connected(session)
        send = asyncio.create_task(session.send(DIRECT, "hello", new_id()))
        await until(session, is_offline)
        async with serving(server, port), asyncio.timeout(20):
            assert (await send).seq == 1


async def test_a_closed_session_has_no_more_items_and_takes_no_more_sends(client):
    async with client.connect() as session:
        await connected(session)
    assert [item async for item in session] == [StateChanged(State.CLOSED)]
    with pytest.raises(NotReachable):
        await session.send(DIRECT, "hello", new_id())


async def test_cancelling_passes_through(client, server):
    async def use():
        async with client.connect() as session:
            async for _ in session:
                pass

    task = asyncio.create_task(use())
    await server.until(lambda: server.streams)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await server.until(lambda: not server.streams)
