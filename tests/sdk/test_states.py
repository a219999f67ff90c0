"""A session says in one word how it is, and a later one goes on where the cache ends."""

import asyncio
import random
from contextlib import AsyncExitStack

import grpc
import pytest

from stonechat.messaging.v1.conversation_event_pb2 import ConversationLeft
from stonechat_client import (
    Client,
    Delivered,
    InvalidRequest,
    MemoryCache,
    Refused,
    SignedOut,
    State,
    StateChanged,
    WrongUser,
)
from tests.sdk.server import DIRECT, INBOX, Server, serving, status
from tests.sdk.test_session import connected, events, is_offline, until


def states(items):
    return [item.state for item in items if isinstance(item, StateChanged)]


class Kept(MemoryCache):
    """Outlives the client, as a file would."""

    def close(self):
        pass


async def test_from_connecting_to_live_over_a_break_and_to_the_end(client, server):
    async with client.connect({DIRECT: 0}) as session:
        assert session.state is State.CONNECTING
        assert states(await connected(session)) == [State.CATCHING_UP, State.LIVE]
        assert session.state is State.LIVE
        await server.post("missed", push=0)
        await server.cut()
        seen = await connected(session)
        assert states(seen) == [State.OFFLINE, State.CONNECTING, State.CATCHING_UP, State.LIVE]
        offline = next(item for item in seen if is_offline(item))
        assert offline.why
        assert offline.retry_in is not None
        order = [item.state if isinstance(item, StateChanged) else "event" for item in seen if not is_page(item)]
        assert order.index("event") < order.index(State.LIVE)
    assert session.state is State.CLOSED


def is_page(item):
    return not isinstance(item, StateChanged) and item.HasField("hello_page")


async def test_a_move_on_a_good_stream_is_no_break(client, server, monkeypatch):
    monkeypatch.setattr("stonechat_client.connector._SETTLED", 0.0)
    async with client.connect() as session:
        await connected(session)
        await server.move()
        assert states(await connected(session)) == [State.CONNECTING, State.CATCHING_UP, State.LIVE]


async def test_behind_makes_it_catch_up(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        await server.post("one", push=0)
        await server.post("two")
        assert states(await connected(session)) == [State.CATCHING_UP, State.LIVE]


async def test_signed_out_is_the_end(client, server):
    async with client.connect() as session:
        await connected(session)
        server.revoked = True
        await server.cut(grpc.StatusCode.UNAUTHENTICATED)
        with pytest.raises(SignedOut):
            await until(session, lambda item: False)
        assert session.state is State.SIGNED_OUT


async def test_attempts_are_spread_over_1_2_4_8_seconds_with_full_jitter(monkeypatch):
    monkeypatch.setattr("stonechat_client.backoff.BASE_SECONDS", 1.0)
    waits, ceilings = [], []

    def uniform(low, high):
        assert low == 0.0
        ceilings.append(high)
        return high

    async def sleep(seconds, real=asyncio.sleep):
        waits.append(seconds)
        await real(0)

    monkeypatch.setattr(random, "uniform", uniform)
    async with serving(Server()) as port:
        client = Client(f"http://127.0.0.1:{port}")
        await client.sign_in("alice", "password")
    monkeypatch.setattr("stonechat_client.connector.asyncio.sleep", sleep)
    async with client, client.connect() as session:
        await until(session, lambda item: is_offline(item) and len(ceilings) == 6)
    assert ceilings[:6] == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


@pytest.fixture
async def kept():
    """A server, and how to open clients on one cache."""
    server, cache = Server(), Kept()
    async with serving(server) as port:
        yield server, cache, lambda: Client(f"http://127.0.0.1:{port}", cache)


async def test_a_later_session_goes_on_where_the_cache_ends(kept):
    server, _, open_client = kept
    async with open_client() as client:
        assert not await client.resume()
        await client.sign_in("alice", "password")
        async with client.connect() as session:
            await connected(session)
            await server.post("one")
            assert await events(session, 1) == ["one"]
    await server.post("two", push=0)
    async with open_client() as client:
        assert await client.resume()
        assert (client.user_id, client.device_id) == ("u1", "device")
        async with client.connect() as session:
            assert await events(session, 1) == ["two"]
    assert server.hellos == [{}, {INBOX: 0, DIRECT: 1}]


async def test_who_was_signed_out_meanwhile_has_to_sign_in(kept):
    server, cache, open_client = kept
    async with open_client() as client:
        await client.sign_in("alice", "password")
    server.revoked = True
    async with open_client() as client:
        assert not await client.resume()
    assert cache.device() is None


async def test_one_can_start_without_a_connection_and_queue():
    server, cache = Server(), Kept()
    async with AsyncExitStack() as stack:
        async with serving(server) as port, Client(f"http://127.0.0.1:{port}", cache) as first:
            await first.sign_in("alice", "password")
        client = await stack.enter_async_context(Client(f"http://127.0.0.1:{port}", cache))
        assert await client.resume()
        session = await stack.enter_async_context(client.connect())
        await until(session, is_offline)
        first_id, second_id = session.queue(DIRECT, "one"), session.queue(DIRECT, "two", "second")
        assert [message.content for message in session.queued()] == ["one", "two"]
        async with serving(server, port):
            taken = await until(
                session, lambda item: isinstance(item, Delivered) and item.client_message_id == "second"
            )
            answers = [item for item in taken if isinstance(item, Delivered)]
            assert [(item.client_message_id, item.sent.seq) for item in answers] == [(first_id, 1), (second_id, 2)]
            assert session.queued() == []


async def test_what_is_refused_leaves_the_queue_and_says_so(client, server):
    async with client.connect() as session:
        with pytest.raises(InvalidRequest):
            session.queue(DIRECT, "")
        server.refusals = [status("INVALID_ARGUMENT", "INVALID_FIELD", "to: must be a user")]
        name = session.queue(DIRECT, "hello")
        refused = (await until(session, lambda item: isinstance(item, Refused)))[-1]
        assert (refused.client_message_id, str(refused.error)) == (name, "to: must be a user")
        assert session.queued() == []


async def test_a_cache_belongs_to_one_user(kept):
    """Who signs in with somebody else's leaves no device behind."""
    server, cache, open_client = kept
    cache.belong_to("u9")
    async with open_client() as client:
        with pytest.raises(WrongUser):
            await client.sign_in("alice", "password")
        assert client.user_id == ""
        assert server.signed_out == ["device"]


async def test_a_group_that_was_left_is_no_longer_known(client, server):
    async with client.connect({"g9": 0}) as session:
        await connected(session)
        await server.post("one", "g9")
        assert await events(session, 1, "g9") == ["one"]
        await server.store(INBOX, left=ConversationLeft(conversation_id="g9", version=3, seq=1))
        await events(session, 1, INBOX)
    assert set(client.cache.spans()) == {INBOX}


async def test_what_a_program_dies_of_is_handed_to_the_next_session_again(kept):
    server, cache, open_client = kept
    cache.begin(DIRECT, 0)
    for text in ("one", "two", "three"):
        await server.post(text, push=0)

    async def first_two():
        async with open_client() as client:
            await client.sign_in("alice", "password")
            async with client.connect() as session:
                assert await events(session, 2) == ["one", "two"]
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await first_two()
    assert cache.spans()[DIRECT].last == 1
    for text in ("two", "three"):
        async with open_client() as client:
            assert await client.resume()
            async with client.connect() as session:
                assert await events(session, 1) == [text]
