"""What a client of the bench counts, against a server that lies."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from bench.client import Account, Client, Tally
from stonechat.messaging.v1.event_pb2 import Event, Result
from stonechat.messaging.v1.messaging_service_pb2 import ConnectRequest
from tests.bench.liar import CONVERSATION, Answer, Session, behind, hello, liar, pushed, sent


async def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for it. TimeoutError when it does not come true."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a condition of another task
            await asyncio.sleep(0.005)


@asynccontextmanager
async def connected(answer: Answer) -> AsyncIterator[tuple[Client, Tally, list[ConnectRequest]]]:
    """A client `u1` that is up, at a server that answers so."""
    tally = Tally(window=(0, 1 << 62))
    async with liar(answer) as (port, frames):
        client = Client("127.0.0.1", port, Account("u1", "token"), tally, lambda _: None)
        client.open()
        try:
            await until(lambda: client.is_up)
            yield client, tally, frames
        finally:
            client.close()


def telling(*events: Event) -> Answer:
    """Answers Hello, then says this."""

    def answer(session: Session, frame: ConnectRequest) -> None:
        session.tell(hello(), *events)

    return answer


async def test_what_comes_in_order_is_delivered_and_timed():
    intended = time.monotonic_ns()
    async with connected(telling(pushed(1, 10, intended), pushed(2, 11, intended))) as (client, tally, _):
        await until(lambda: tally.delivered == 2)
        assert client.known == {CONVERSATION: 2}
        assert (tally.gaps, tally.repeats) == (0, 0)
        assert len(tally.latency_us) == 2
        assert min(tally.latency_us) >= 0


async def test_what_was_intended_outside_the_window_is_counted_and_not_timed():
    async with connected(telling(pushed(1, 10, intended_ns=1 << 62), pushed(2, 11))) as (_, tally, _frames):
        await until(lambda: tally.delivered == 2)
        assert (tally.delivered_in_window, len(tally.latency_us)) == (1, 1)


@pytest.mark.parametrize(
    "again", [pushed(1, 10), pushed(2, 10)], ids=["the same seq", "the same message at another seq"]
)
async def test_a_second_delivery_is_counted_as_a_repeat(again):
    async with connected(telling(pushed(1, 10), again)) as (_, tally, _frames):
        await until(lambda: tally.repeats)
        assert (tally.delivered, tally.repeats) == (1, 1)


async def test_a_hole_that_nobody_announced_is_a_gap_and_to_be_pulled():
    async with connected(telling(pushed(1, 10), pushed(4, 13))) as (client, tally, _):
        await until(lambda: tally.delivered == 2)
        assert tally.gaps == 1
        assert client.holes == [(CONVERSATION, 2, 3)]


async def test_a_hole_that_was_announced_is_to_be_pulled_and_no_gap():
    async with connected(telling(pushed(1, 10), behind(3), pushed(4, 13))) as (client, tally, _):
        await until(lambda: tally.delivered == 2)
        assert tally.gaps == 0
        assert client.holes == [(CONVERSATION, 2, 3)]


async def test_messages_of_its_own_are_not_delivered_to_it():
    async with connected(telling(pushed(1, 10, sender="u1"), pushed(2, 11))) as (client, tally, _):
        await until(lambda: client.known.get(CONVERSATION) == 2)
        assert (tally.delivered, tally.gaps) == (1, 0)


async def test_a_send_is_acknowledged_once_or_stays_unanswered():
    def answer(session: Session, frame: ConnectRequest) -> None:
        if frame.HasField("hello"):
            session.tell(hello())
        elif frame.request_id == 7:
            session.tell(sent(frame), sent(frame))

    async with connected(answer) as (client, tally, _):
        client.send("u2", 7, time.monotonic_ns(), "x")
        client.send("u2", 8, time.monotonic_ns(), "x")
        await until(lambda: tally.acked)
        assert (tally.sent, tally.acked, client.unanswered) == (2, 1, 1)


async def test_a_refusal_is_counted_by_its_reason():
    def answer(session: Session, frame: ConnectRequest) -> None:
        if frame.HasField("hello"):
            session.tell(hello())
            return
        error = Status(code=code_pb2.RESOURCE_EXHAUSTED)
        error.details.add().Pack(error_details_pb2.ErrorInfo(reason="RATE_LIMITED"))
        session.tell(Event(result=Result(request_id=frame.request_id, error=error)))

    async with connected(answer) as (client, tally, _):
        client.send("u2", 7, time.monotonic_ns(), "x")
        await until(lambda: tally.refused)
        assert tally.refused == {"RESOURCE_EXHAUSTED RATE_LIMITED": 1}
        assert client.unanswered == 0


async def test_a_send_that_may_have_had_its_effect_is_said_again_under_the_same_id():
    def answer(session: Session, frame: ConnectRequest) -> None:
        if frame.HasField("hello"):
            session.tell(hello())
        elif frame not in seen:
            seen.append(frame)
            error = Status(code=code_pb2.UNAVAILABLE)
            session.tell(Event(result=Result(request_id=frame.request_id, error=error)))
        else:
            session.tell(sent(frame))

    seen: list[ConnectRequest] = []
    async with connected(answer) as (client, tally, _):
        client.send("u2", 7, time.monotonic_ns(), "x")
        await until(lambda: tally.acked)
        assert (tally.repeated, tally.refused, client.unanswered) == (1, {}, 0)


async def test_after_a_break_it_says_what_it_knows_and_all_that_has_no_answer():
    def answer(session: Session, frame: ConnectRequest) -> None:
        if frame.HasField("hello") and not frame.hello.known:
            session.tell(hello(), pushed(1, 10))
        elif frame.HasField("hello"):
            session.tell(hello(last_seq=5))
        elif len(frames_of_sends) < 3:
            frames_of_sends.append(frame)
            if len(frames_of_sends) == 3:
                session.transport.abort()
        else:
            session.tell(sent(frame))

    frames_of_sends: list[ConnectRequest] = []
    async with connected(answer) as (client, tally, frames):
        await until(lambda: tally.delivered)
        for number in (7, 8, 9):
            client.send("u2", number, time.monotonic_ns(), "x")
        await until(lambda: tally.acked == 3)
        hellos = [frame.hello for frame in frames if frame.HasField("hello")]
        assert [(known.conversation_id, known.last_seq) for known in hellos[1].known] == [(CONVERSATION, 1)]
        assert frames[-3:] == frames_of_sends
        assert client.holes == [(CONVERSATION, 2, 5)]
        assert tally.endings.total() == 1


async def test_a_refused_stream_comes_back_when_it_was_told_to():
    def answer(session: Session, frame: ConnectRequest) -> None:
        if not refused:
            refused.append(time.monotonic())
            session.refuse(("grpc-status", "14"), ("grpc-message", "busy"))
        else:
            session.tell(hello())

    refused: list[float] = []
    async with connected(answer) as (_, tally, _frames):
        assert tally.endings == {"UNAVAILABLE busy": 1}


async def test_a_server_that_babbles_is_left_and_tried_again():
    def answer(session: Session, frame: ConnectRequest) -> None:
        session.tell(hello())
        if not babbled:
            babbled.append(True)
            session.babble()

    babbled: list[bool] = []
    async with connected(answer) as (client, tally, frames):
        await until(lambda: len(frames) == 2 and client.is_up)
        assert tally.endings == {"INTERNAL the server sent 2 bytes that are no frame": 1}


async def test_a_cut_is_no_ending_of_the_servers():
    async with connected(telling()) as (client, tally, frames):
        client.cut()
        assert not client.is_up
        await until(lambda: client.is_up)
        assert len(frames) == 2
        assert not tally.endings
