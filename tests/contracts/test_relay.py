"""What every relay promises, inside the process and over gRPC alike (protocol S1, S2, S8, S9)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from svc.delivery.hub import NodeQueue
from svc.kernel.errors import Unavailable
from svc.kernel.lifecycle import owned
from svc.kernel.registry import ProcessRegistry
from svc.kernel.relay import Ack, Answer, Event, Moved, NotOwner, Outcome, Relay, Signal, Tick, Unanswered
from tests.contracts.owner import open_stand, owning, texts
from tests.contracts.relays import C, D, World, over_grpc


@pytest.fixture(params=["direct", "grpc"])
async def unowned(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with open_stand(tmp_path) as stand, AsyncExitStack() as stack:
        if request.param == "direct":
            relay: Relay = stand.delivery.streams
        else:
            relay = await stack.enter_async_context(over_grpc(stand, ProcessRegistry()))
        streams = await stack.enter_async_context(AsyncExitStack())
        yield World(stand, relay, streams)


@pytest.fixture
async def world(unowned: World) -> AsyncIterator[World]:
    async with owning(unowned.stand):
        yield unowned


async def test_a_subscription_is_answered_with_the_head_and_then_every_event_follows(world: World):
    """Ack(head), then head + 1, head + 2 … each with the bytes that clients get."""
    await world.stand.append(world.stand.record(C, "one"), world.stand.record(C, "two"))
    await world.stand.heads(C, 2)
    reader = await world.open()
    reader.stream.subscribe([C])
    assert (await reader.acknowledged(C)).head == 2
    await world.stand.append(world.stand.record(C, "three"), world.stand.record(C, "four"))
    await reader.until(lambda item: isinstance(item, Event) and item.seq == 4)
    events = [item for item in reader.items if isinstance(item, Event)]
    assert [(event.seq, texts(event.frame)) for event in events] == [(3, ["three"]), (4, ["four"])]


async def test_what_has_no_event_yet_is_acknowledged_with_0(world: World):
    """Its first event then comes as number 1."""
    reader = await world.open()
    reader.stream.subscribe([C])
    assert (await reader.acknowledged(C)).head == 0
    await world.stand.append(world.stand.record(C))
    await reader.until(lambda item: isinstance(item, Event))
    assert reader.events(C) == [1]


async def test_an_ack_is_exact_while_events_stream(world: World):
    """Whenever a node subscribes, what comes after its Ack begins with head + 1 and has no hole, and nothing comes before."""
    total = 400

    async def send() -> None:
        for number in range(0, total, 4):
            await world.stand.append(*(world.stand.record(C, str(number + at)) for at in range(4)))

    async with owned(send(), "sender"):
        for number in range(12):
            await world.stand.heads(C, 1 + number * 20)
            reader = await world.open(f"node{number}")
            reader.stream.subscribe([C])
            ack = await reader.acknowledged(C)
            if ack.head < total:
                await reader.until(lambda item: isinstance(item, Event) and item.seq == total)
            about_c = [item for item in reader.items if isinstance(item, Ack | Event) and item.conversation_id == C]
            assert about_c[0] == ack
            assert reader.events(C) == list(range(ack.head + 1, total + 1))


async def test_the_verdict_comes_to_the_node_that_asked_whatever_it_subscribed_to(world: World):
    """Stored, then the first one's answer for a repeat, and a conflict for other content under the same key."""
    reader, other = await world.open("asking"), await world.open("other")
    first = world.stand.record(C, "once", key="k", node="asking", request_id=1)
    again = world.stand.record(C, "once", key="k", node="asking", request_id=2)
    changed = world.stand.record(C, "twice", key="k", node="asking", request_id=3)
    await world.stand.append(first, again, changed)
    await reader.until(lambda item: isinstance(item, Answer) and item.request_id == 3)
    stored, repeat, conflict = [item for item in reader.items if isinstance(item, Answer)]
    assert (stored.outcome, stored.seq, stored.record_id) == (Outcome.STORED, 1, first.record_id)
    assert (repeat.request_id, repeat.outcome) == (2, Outcome.REPEAT)
    assert (repeat.seq, repeat.record_id, repeat.time_us) == (1, first.record_id, stored.time_us)
    assert (conflict.request_id, conflict.outcome) == (3, Outcome.CONFLICT)
    other.stream.subscribe([D])
    await other.acknowledged(D)
    assert [item for item in other.items if isinstance(item, Answer)] == []


async def test_an_answer_that_was_lost_with_a_stream_comes_on_the_next(world: World):
    """The node lists what it waits for: what is stored is answered at once, the rest as it is read; a repeat by its verdict
    alone, which knows whether it asks the same."""
    stand = world.stand
    lost = stand.record(C, "lost", key="lost", node="node", request_id=7)
    repeat = stand.record(C, "lost", key="lost", node="node", request_id=8)
    coming = stand.record(C, "coming", key="coming", node="node", request_id=9)
    await stand.append(lost)
    await stand.heads(C, 1)
    reader = await world.open("node")
    waiting = [Unanswered(r.request_id, C, "u1", r.client_message_id, r.record_id) for r in (lost, coming)]
    reader.stream.unanswered(waiting)
    answer = await reader.answered(7)
    assert (answer.outcome, answer.seq, answer.record_id) == (Outcome.STORED, 1, lost.record_id)
    reader.stream.unanswered([Unanswered(8, C, "u1", "lost", repeat.record_id)])
    await stand.append(coming, repeat)
    answer = await reader.answered(8)
    assert (answer.outcome, answer.seq, answer.record_id) == (Outcome.REPEAT, 1, lost.record_id)
    answers = [(item.request_id, item.seq) for item in reader.items if isinstance(item, Answer)]
    # The first may come twice: it was stored while the stream was opened. The node ignores the second.
    assert list(dict.fromkeys(answers)) == [(7, 1), (9, 2), (8, 1)]


async def test_nothing_comes_of_what_is_unsubscribed(world: World):
    """Other conversations go on, and a later subscription is acknowledged anew."""
    reader = await world.open("node")
    reader.stream.subscribe([C, D])
    await reader.acknowledged(D)
    await world.stand.append(world.stand.record(C))
    await reader.until(lambda item: isinstance(item, Event))
    reader.stream.unsubscribe([C])
    # What is said later is heard later: once the signal is back, the unsubscription has arrived.
    reader.stream.signal(Signal(D, "mark", b"mark"))
    await reader.until(lambda item: isinstance(item, Signal))
    await world.stand.append(world.stand.record(C, node="node", request_id=1))
    assert (await reader.answered(1)).seq == 2
    assert reader.events(C) == [1]
    reader.stream.subscribe([C])
    assert (await reader.until(lambda item: isinstance(item, Ack) and item.head == 2)) in reader.items


async def test_a_signal_reaches_all_who_subscribed_and_nobody_else(world: World):
    """Its key and its bytes as they were given."""
    one, two, other = [await world.open(node) for node in ("one", "two", "other")]
    for reader, name in ((one, C), (two, C), (other, D)):
        reader.stream.subscribe([name])
        await reader.acknowledged(name)
    one.stream.signal(Signal(C, "typing u1", b"\x0a\x00"))
    for reader in (one, two):
        assert await reader.until(lambda item: isinstance(item, Signal)) == Signal(C, "typing u1", b"\x0a\x00")
    one.stream.signal(Signal(D, "later", b""))
    assert await other.until(lambda item: isinstance(item, Signal)) == Signal(D, "later", b"")


async def test_a_second_stream_of_a_node_ends_the_first(world: World):
    """There is one stream for each node: who is left on an older one must not believe in it."""
    first = await world.open("node")
    first.stream.subscribe([C])
    await first.acknowledged(C)
    second = await world.open("node")
    with pytest.raises(Unavailable):
        await first.until(lambda item: False)
    await world.stand.append(world.stand.record(C, node="node", request_id=1))
    await second.answered(1)
    assert second.events(C) == []


async def test_who_falls_behind_is_told_how_far(world: World, monkeypatch: pytest.MonkeyPatch):
    """An overflow replaces events by one Moved for each conversation; answers stay; after it events come again."""
    monkeypatch.setattr(NodeQueue.__init__, "__defaults__", (64 * 1024,))
    reader = await world.open("node")
    reader.stream.subscribe([C, D])
    await reader.acknowledged(D)
    total, text = 1000, "x" * 8000
    for number in range(0, total, 50):
        await world.stand.append(*(world.stand.record(C, text) for _ in range(50)), world.stand.record(D, text))
        await world.stand.heads(C, number + 50)
    await world.stand.append(world.stand.record(C, "last", node="node", request_id=1))
    last = await reader.answered(1)
    assert last.seq == total + 1
    known = 0
    moves = 0
    for item in reader.items:
        if isinstance(item, Moved) and item.conversation_id == C:
            assert item.head > known
            known, moves = item.head, moves + 1
        elif isinstance(item, Event) and item.conversation_id == C:
            assert item.seq == known + 1
            known = item.seq
    assert moves > 0
    assert known == total + 1


async def test_a_stream_shows_that_it_lives(world: World):
    """Without any subscription, something comes each second."""
    reader = await world.open()
    assert await reader.until(lambda item: isinstance(item, Tick)) == Tick()


async def test_leaving_ends_the_stream_and_what_it_subscribed_to(world: World):
    """Who waits on it hears so at once, and again; a new stream of the node begins without subscriptions."""
    reader = await world.open("node")
    reader.stream.subscribe([C])
    await reader.acknowledged(C)
    waiting = asyncio.create_task(reader.until(lambda item: False))
    await asyncio.sleep(0)
    await reader.stream.close()
    for _ in range(2):
        with pytest.raises(Unavailable):
            await waiting
        waiting = asyncio.create_task(reader.until(lambda item: False))
    with pytest.raises(Unavailable):
        await waiting
    again = await world.open("node")
    await world.stand.append(world.stand.record(C, node="node", request_id=1))
    await again.answered(1)
    assert again.events(C) == []


async def test_a_cancelled_receive_loses_nothing(world: World):
    """Who waits may stop waiting, and come back."""
    reader = await world.open("node")
    reader.stream.subscribe([C])
    await reader.acknowledged(C)
    for number in range(1, 21):
        waiting = asyncio.create_task(reader.until(lambda item: False))
        await world.stand.append(world.stand.record(C))
        if number % 2:
            await world.stand.heads(C, number)
        waiting.cancel()
        await asyncio.wait([waiting])
    await world.stand.append(world.stand.record(C, node="node", request_id=1))
    await reader.answered(1)
    assert reader.events(C) == list(range(1, 22))


async def test_without_an_owner_no_stream_is_opened(unowned: World):
    """The node is told so, instead of waiting on a stream that says nothing."""
    with pytest.raises(Unavailable):
        await unowned.relay.open("node", unowned.stand.instance)


async def test_a_new_claim_ends_the_streams_of_the_old(unowned: World):
    """The next stream is acknowledged under a higher claim, with everything that was stored."""
    async with owning(unowned.stand):
        before = await unowned.open("node")
        before.stream.subscribe([C])
        old = await before.acknowledged(C)
        await unowned.stand.append(unowned.stand.record(C))
        await before.until(lambda item: isinstance(item, Event))
    with pytest.raises(Unavailable):
        await before.until(lambda item: False)
    async with owning(unowned.stand):
        after = await unowned.open("node")
        after.stream.subscribe([C])
        ack = await after.acknowledged(C)
    assert (old.head, ack.head) == (0, 1)
    assert ack.claim > old.claim


async def test_a_node_with_many_conversations_is_answered_for_each(world: World):
    """However long the list of subscriptions."""
    names = {f"d.u{10**17 + number}.u{10**18 + number}" for number in range(14_000)}
    reader = await world.open()
    reader.stream.subscribe(sorted(names))
    pending = set(names)
    while pending:
        before = len(reader.items)
        await reader.until(lambda item: isinstance(item, Ack))
        pending -= {item.conversation_id for item in reader.items[before:] if isinstance(item, Ack)}
    assert [item for item in reader.items if isinstance(item, NotOwner)] == []


async def test_a_long_backlog_arrives_whole(world: World, monkeypatch: pytest.MonkeyPatch):
    """More than one message of gRPC may hold, while nobody reads."""
    monkeypatch.setattr(NodeQueue.__init__, "__defaults__", (64 << 20,))
    reader = await world.open("node")
    reader.stream.subscribe([C])
    await reader.acknowledged(C)
    for number in range(1, 21):
        await world.stand.append(*(world.stand.record(C, "x" * 16_000) for _ in range(50)))
        await world.stand.heads(C, 50 * number)
    await reader.until(lambda item: isinstance(item, Event) and item.seq == 1000)
    assert reader.events(C) == list(range(1, 1001))
