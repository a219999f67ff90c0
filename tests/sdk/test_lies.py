"""A server that lies: nothing wrong is handed over silently, and the session says what it saw and goes on."""

from contextlib import asynccontextmanager

import pytest

from stonechat.history.v1 import history_service_pb2 as history
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from stonechat.messaging.v1.event_pb2 import Behind, ConversationHead, Event, HelloPage, Reconnect
from stonechat_client import Client, Problem, ProblemKind, State, StateChanged, new_id
from stonechat_client.backoff import Backoff
from tests.sdk.server import DIRECT, Server, serving
from tests.sdk.test_session import connected, events, until


async def problem(session, kind):
    """Wait for a problem of this kind; no event may come as if nothing were wrong."""
    *before, found = await until(session, lambda item: isinstance(item, Problem))
    assert [item for item in before if isinstance(item, Event) and item.HasField("conversation_event")] == []
    assert found.kind is kind
    assert found.text
    return found


@asynccontextmanager
async def signed_in(server, **how):
    async with serving(server, **how) as port, Client(f"http://127.0.0.1:{port}") as client:
        await client.sign_in("alice", "password")
        yield client


def altered(event, **fields):
    copy = ConversationEvent()
    copy.CopyFrom(event)
    copy.MergeFrom(ConversationEvent(**fields))
    return copy


async def test_an_event_that_is_pushed_twice_comes_once(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        one = await server.post("one")
        assert await events(session, 1) == ["one"]
        await server.tell(Event(conversation_event=one))
        found = await problem(session, ProblemKind.DUPLICATE)
        assert (found.conversation_id, found.seq) == (DIRECT, 1)
        await server.post("two")
        assert await events(session, 1) == ["two"]
    assert session.problems == {ProblemKind.DUPLICATE: 1}


async def test_a_hole_is_told_of_and_filled(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        await server.post("one", push=0)
        await server.post("two")
        await problem(session, ProblemKind.HOLE)
        assert await events(session, 2) == ["one", "two"]


async def test_reordered_frames_are_put_in_order(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        one, two = await server.post("one", push=0), await server.post("two", push=0)
        await server.tell(Event(conversation_event=two))
        await server.tell(Event(conversation_event=one))
        await problem(session, ProblemKind.HOLE)
        assert await events(session, 2) == ["one", "two"]
        await server.cut()
        await connected(session)
    assert session.problems[ProblemKind.REORDERED] == 1


async def test_another_event_in_the_place_of_one_is_left_out(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        one = await server.post("one")
        assert await events(session, 1) == ["one"]
        await server.cut()
        await until(session, lambda item: item == StateChanged(State.LIVE))
        await server.tell(Event(conversation_event=altered(one, client_message_id="forged")))
        found = await problem(session, ProblemKind.DIFFERENT)
        assert (found.conversation_id, found.seq) == (DIRECT, 1)
        assert client.cache.event(DIRECT, 1) == one


async def test_a_withdrawn_message_that_is_pushed_again_is_no_other_event(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        one = await server.post("one")
        assert await events(session, 1) == ["one"]
        await server.cut()
        await connected(session)
        withdrawn = altered(one)
        withdrawn.message.CopyFrom(Message())
        await server.tell(Event(conversation_event=withdrawn))
        await server.post("two")
        assert await events(session, 1) == ["two"]
    assert not session.problems


async def test_time_that_runs_backwards_is_told_of_and_the_number_counts(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        await server.post("one")
        await server.post("two", push=0)
        server.conversations[DIRECT][1].timestamp.seconds = 5
        await server.tell(Event(conversation_event=server.conversations[DIRECT][1]))
        assert await events(session, 1) == ["one"]
        await problem(session, ProblemKind.CLOCK)
        assert await events(session, 1) == ["two"]


async def test_a_conversation_that_shrinks_keeps_what_was_handed_over(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        for text in ("one", "two", "three"):
            await server.post(text)
        assert await events(session, 3) == ["one", "two", "three"]
        del server.conversations[DIRECT][1:]
        await server.cut()
        found = await problem(session, ProblemKind.SHRUNK)
        assert (found.conversation_id, found.seq) == (DIRECT, 1)
        await connected(session)
        await server.post("another two")
        await server.post("another three")
        await server.post("four")
        assert await events(session, 1) == ["four"]
    assert [event.message.content for event in client.cache.events(DIRECT, 9, 9)] == ["four", "three", "two", "one"]


async def test_an_event_without_a_place_is_left_out(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        await server.tell(Event(conversation_event=ConversationEvent(conversation_id=DIRECT)))
        await problem(session, ProblemKind.GARBAGE)
        await server.tell(Event(conversation_event=ConversationEvent(conversation_id=DIRECT, seq=1, message_id="m1.2")))
        await problem(session, ProblemKind.GARBAGE)
        await server.post("one")
        assert await events(session, 1) == ["one"]


async def test_what_was_told_of_and_cannot_be_fetched_is_a_hole(client, server):
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        ghost = ConversationEvent(conversation_id=DIRECT, seq=4, message_id="m1.4", message=Message(content="ghost"))
        await server.tell(Event(conversation_event=ghost))
        await problem(session, ProblemKind.HOLE)
        found = await problem(session, ProblemKind.HOLE)
        assert "cannot be fetched" in found.text
        await server.post("one")
        assert await events(session, 1) == ["one"]


class Confused(Server):
    """Answers for one conversation with events of another."""

    async def ListEvents(self, request, context):
        foreign = ConversationEvent(conversation_id="d.u1.u9", seq=request.after_seq + 1, message_id="m1.1")
        return history.ListEventsResponse(events=[foreign], last_seq=1)


async def test_an_answer_for_another_conversation_is_left_out():
    server = Confused()
    async with signed_in(server) as client, client.connect({DIRECT: 0}) as session:
        await connected(session)
        await server.post("one", push=0)
        await server.tell(Event(behind=Behind(conversation_id=DIRECT, last_seq=1)))
        await problem(session, ProblemKind.GARBAGE)
        await server.post("two", "g1")
        assert await events(session, 1, "g1") == ["two"]


async def test_an_answer_that_names_another_place_is_told_of(client, server, monkeypatch):
    honest = Server._send

    async def send(self, request):
        result = await honest(self, request)
        result.sent.seq += 1
        return result

    monkeypatch.setattr(Server, "_send", send)
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        assert (await session.send(DIRECT, "hello", new_id())).seq == 2
        found = await until(session, lambda item: isinstance(item, Problem))
        assert found[-1].kind is ProblemKind.ANSWER


class Babbler(Server):
    """Says bytes that are no frame on each of its first two streams."""

    async def Connect(self, requests, context):
        async for frame in super().Connect(requests, context):
            yield frame.SerializeToString()
            if len(self.hellos) <= 2:
                yield b"\xff\xff\xff\xff garbage"


async def test_bytes_that_are_no_frame_end_the_stream_and_not_the_session():
    server = Babbler()
    async with signed_in(server, raw_connect=True) as client, client.connect({DIRECT: 0}) as session:
        for _ in range(2):
            await until(session, lambda item: isinstance(item, Problem) and item.kind is ProblemKind.GARBAGE)
        await connected(session)
        await server.post("one")
        assert await events(session, 1) == ["one"]
    assert len(server.hellos) == 3


@pytest.mark.parametrize("greets", [True, False])
async def test_endless_redirects_are_spread_and_told_of(client, server, monkeypatch, greets):
    async def read(self, requests, frames):
        async for request in requests:
            if request.HasField("hello"):
                self.hellos.append({})
                if greets:
                    frames.put_nowait(Event(hello_page=HelloPage(complete=True)))
                for _ in range(3):
                    frames.put_nowait(Event(reconnect=Reconnect(after_ms=0)))

    monkeypatch.setattr(Server, "_read", read)
    monkeypatch.setattr("stonechat_client.backoff.BASE_SECONDS", 0.1)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    async with client.connect() as session:
        await until(session, lambda item: isinstance(item, Problem) and item.kind is ProblemKind.REDIRECTS)
        offline = await until(session, lambda item: isinstance(item, StateChanged) and item.retry_in == 0.8)
    # Each attempt waits longer than the one before: an endless chain costs next to nothing.
    assert all(item.retry_in for item in offline if isinstance(item, StateChanged) and item.state is State.OFFLINE)
    assert len(server.hellos) <= 7


def test_a_server_that_asks_for_endless_patience_gets_five_minutes():
    assert 300.0 <= Backoff().next_delay(1e12) <= 375.0


def test_a_server_that_asks_for_no_patience_at_all_is_not_asked_without_end(monkeypatch):
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    monkeypatch.setattr("stonechat_client.backoff.BASE_SECONDS", 1.0)
    backoff = Backoff()
    assert [backoff.next_delay(0.0) for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 8.0]


def test_a_server_that_says_when_to_come_back_is_believed(monkeypatch):
    """However often: it was reached, so the delay does not grow."""
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    backoff = Backoff()
    assert {backoff.next_delay(0.5) for _ in range(10)} == {0.5}


class Counting(Server):
    """Counts how often it is asked for events."""

    asked = 0

    async def ListEvents(self, request, context):
        self.asked += 1
        return await super().ListEvents(request, context)


async def test_a_head_that_never_was_does_not_keep_the_session_pulling():
    server = Counting()
    async with signed_in(server) as client, client.connect({DIRECT: 0}) as session:
        await connected(session)
        head = ConversationHead(conversation_id=DIRECT, last_seq=2**63)
        await server.tell(Event(hello_page=HelloPage(conversations=[head], complete=True)))
        await problem(session, ProblemKind.HOLE)
        await connected(session)
    assert server.asked == 1


async def test_a_flood_of_problems_is_counted_and_does_not_fill_the_memory(client, server, monkeypatch):
    monkeypatch.setattr("stonechat_client.session._ROOM", 10)
    async with client.connect({DIRECT: 0}) as session:
        await connected(session)
        one = await server.post("one")
        for _ in range(300):
            await server.tell(Event(conversation_event=one))
        await session.send(DIRECT, "still works", new_id())
        assert session.problems[ProblemKind.DUPLICATE] == 300
        assert len(session._feed._items) <= 20
        assert await events(session, 2) == ["one", "still works"]
