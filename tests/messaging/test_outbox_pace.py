"""What a session that does not read can cost, and what a page that waits for room waits for."""

import asyncio

from svc.messaging.outbox import Outbox


def behind(conversation_id: str, head: int) -> bytes:
    return f"{conversation_id} up to {head};".encode()


def test_one_behind_a_conversation_and_no_more_bytes_than_that():
    """Events that were not read give way; answers stay, in their order, and come first."""
    outbox = Outbox(1_000, behind)
    outbox.control(b"answer;")
    for seq in range(1, 101):
        outbox.event(b"x" * 90, f"g{seq % 2 + 1}", seq)
    assert outbox.size <= 1_200
    taken = outbox.take()
    assert taken.startswith(b"answer;")
    assert not outbox.overwhelmed
    told, pushed = taken.rpartition(b";")[::2]
    newest = max(int(word) for word in told.replace(b";", b" ").split() if word.isdigit())
    assert newest + len(pushed) // 90 == 100  # told of the first ones, pushed the rest


def test_too_many_conversations_for_even_that_end_the_session():
    """Where the Behinds alone are too much the queue says so, rather than grow or go through all of them for each event."""
    outbox = Outbox(1_000, behind)
    for number in range(100):
        outbox.event(b"x" * 90, f"g{number}", 1)
    assert outbox.overwhelmed


def test_answers_are_not_counted_against_events():
    """A long list of answers never makes events give way."""
    outbox = Outbox(1_000, behind)
    for _ in range(100):
        outbox.control(b"a" * 90)
    outbox.event(b"event", "g1", 1)
    assert not outbox.overwhelmed
    assert outbox.take().endswith(b"event")


async def test_room_is_waited_for_until_the_writer_has_written():
    """A page waits while more than half of the limit waits to be written, and goes on when it is."""
    outbox = Outbox(1_000, behind)
    outbox.control(b"a" * 900)
    waiting = asyncio.ensure_future(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.take()
    await asyncio.wait_for(waiting, 5)
    outbox.control(b"a" * 900)
    waiting = asyncio.ensure_future(outbox.room())
    outbox.end()
    await asyncio.wait_for(waiting, 5)
