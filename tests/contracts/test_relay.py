"""What every relay promises, inside the process and over gRPC alike (protocol S1, S2, S8, S9)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.delivery.v1 import delivery_service_pb2 as api
from svc.delivery import wire as delivery_wire
from svc.delivery.dead_letters import DeadLetters
from svc.delivery.hub import NodeQueue
from svc.delivery.servicer import DeliveryServicer
from svc.kernel.calls import Access, CallChain, handlers
from svc.kernel.channels import Channels
from svc.kernel.clock import SystemClock
from svc.kernel.errors import Unavailable
from svc.kernel.identity import TokenVerifier
from svc.kernel.lifecycle import owned
from svc.kernel.limits import Rate, RateLimiter
from svc.kernel.registry import Instance, ProcessRegistry
from svc.kernel.relay import (
    Ack,
    Answer,
    Event,
    Item,
    Moved,
    NotOwner,
    Outcome,
    Relay,
    RelayStream,
    Signal,
    Tick,
    Unanswered,
)
from svc.messaging import wire as messaging_wire
from svc.messaging.adapters.relay import GrpcRelay, Upward
from tests.contracts.owner import Stand, open_stand, owning, texts

SERVICE = api.DESCRIPTOR.services_by_name["DeliveryService"]
ALL = frozenset(f"/{SERVICE.full_name}/{method.name}" for method in SERVICE.methods)
INNER_TOKEN = "inner"
C, D = "d.u1.u2", "g7"


async def no_keys() -> str:
    return '{"keys": []}'


@asynccontextmanager
async def over_grpc(stand: Stand, registry: ProcessRegistry) -> AsyncIterator[Relay]:
    clock = SystemClock()
    access = Access(frozenset(), ALL, INNER_TOKEN)
    chain = CallChain(TokenVerifier(no_keys, clock), access, RateLimiter(clock), Rate(1e6, 1e6), clock)
    servicer = DeliveryServicer(stand.delivery.streams, DeadLetters(stand.log, stand.shards))
    options = [("grpc.max_receive_message_length", 512 * 1024), ("grpc.so_reuseport", 0)]
    server = grpc.aio.server(handlers=[handlers(chain, SERVICE, servicer)], options=options)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await registry.register("delivery", Instance(f"127.0.0.1:{port}", "boot"))
    channels = Channels(registry, INNER_TOKEN)
    try:
        yield GrpcRelay(channels)
    finally:
        await channels.close()
        await server.stop(grace=None)


@dataclass
class Reader:
    """One stream of a node and everything that came down it."""

    stream: RelayStream
    items: list[Item]

    async def until(self, wanted: Callable[[Item], bool]) -> Item:
        """Read on until such an item comes."""
        async with asyncio.timeout(20):
            while True:
                batch = await self.stream.receive()
                assert len(batch) > 0
                self.items.extend(batch)
                for item in batch:
                    if wanted(item):
                        return item

    async def acknowledged(self, conversation_id: str) -> Ack:
        found = await self.until(lambda item: isinstance(item, Ack) and item.conversation_id == conversation_id)
        assert isinstance(found, Ack)
        return found

    async def answered(self, request_id: int) -> Answer:
        found = await self.until(lambda item: isinstance(item, Answer) and item.request_id == request_id)
        assert isinstance(found, Answer)
        return found

    def events(self, conversation_id: str) -> list[int]:
        return [item.seq for item in self.items if isinstance(item, Event) and item.conversation_id == conversation_id]


@dataclass
class World:
    stand: Stand
    relay: Relay
    streams: AsyncExitStack

    async def open(self, node: str = "node") -> Reader:
        stream = await self.relay.open(node)
        self.streams.push_async_callback(stream.close)
        return Reader(stream, [])


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
        await unowned.relay.open("node")


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


async def test_a_long_backlog_arrives_whole(world: World):
    """More than one message of gRPC may hold, while nobody reads."""
    reader = await world.open("node")
    reader.stream.subscribe([C])
    await reader.acknowledged(C)
    for _ in range(8):
        await world.stand.append(*(world.stand.record(C, "x" * 16_000) for _ in range(50)))
    await world.stand.heads(C, 400)
    await reader.until(lambda item: isinstance(item, Event) and item.seq == 400)
    assert reader.events(C) == list(range(1, 401))


async def test_over_grpc_no_instance_means_no_stream(tmp_path: Path):
    """And as soon as one is up, the same relay reaches it."""
    registry = ProcessRegistry()
    async with open_stand(tmp_path) as stand, over_grpc(stand, registry) as relay, owning(stand):
        (instance,) = registry.instances("delivery")
        await registry.deregister("delivery", instance)
        with pytest.raises(Unavailable, match="no instance of delivery"):
            await relay.open("node")
        await registry.register("delivery", instance)
        stream = await relay.open("node")
        await stream.close()


async def test_over_grpc_a_server_that_stops_ends_the_stream(tmp_path: Path):
    """The node hears of it, and its next attempt fails as unavailable, whatever gRPC calls it."""
    registry = ProcessRegistry()
    async with open_stand(tmp_path) as stand, owning(stand):
        async with over_grpc(stand, registry):
            channels = Channels(registry, INNER_TOKEN)
            stream = await GrpcRelay(channels).open("node")
        with pytest.raises(Unavailable):
            await Reader(stream, []).until(lambda item: False)
        with pytest.raises(Unavailable):
            await GrpcRelay(channels).open("node")
        await channels.close()


async def test_over_grpc_who_is_no_service_is_refused(tmp_path: Path):
    """A stream with a wrong inner token is not opened, and the reason is named."""
    registry = ProcessRegistry()
    async with open_stand(tmp_path) as stand, owning(stand), over_grpc(stand, registry):
        channels = Channels(registry, "guessed")
        with pytest.raises(Unavailable, match="for services only"):
            await GrpcRelay(channels).open("node")
        await channels.close()


NAMES = st.text(min_size=1, max_size=40)
NUMBERS = st.integers(0, 2**63 - 1)
ITEMS = st.one_of(
    st.builds(Ack, NAMES, NUMBERS, NUMBERS),
    st.builds(
        Event,
        NAMES,
        NUMBERS,
        NUMBERS,
        st.binary(max_size=50),
        st.sampled_from([16, 20, 26]),
        st.lists(NAMES, max_size=3).map(tuple),
        NUMBERS,
        st.text(max_size=55),
    ),
    st.builds(Moved, NAMES, NUMBERS),
    st.builds(NotOwner, NAMES),
    st.builds(Signal, NAMES, NAMES, st.binary(max_size=50)),
    st.builds(Answer, NUMBERS, st.sampled_from(Outcome), NUMBERS, NUMBERS, NUMBERS),
    st.just(Tick()),
)


@given(ITEMS)
def test_every_item_survives_the_way_between_processes(item: Item):
    """What the owner says is what the node hears."""
    raw = delivery_wire.to_item(item).SerializeToString()
    assert messaging_wire.to_item(api.RelayItem.FromString(raw)) == item


@given(st.builds(Unanswered, NUMBERS, NAMES, NAMES, NAMES, NUMBERS), st.builds(Signal, NAMES, NAMES, st.binary()))
def test_what_a_node_says_survives_the_way(request: Unanswered, signal: Signal):
    """Requests and signals alike."""
    assert delivery_wire.from_unanswered(messaging_wire.from_unanswered(request)) == request
    assert delivery_wire.to_signal(messaging_wire.from_signal(signal)) == signal


def test_what_a_newer_owner_says_is_a_sign_of_life():
    """An item that this program does not know does not end the stream."""
    unknown = api.RelayItem(answer=api.RelayAnswer(request_id=1, outcome=99))  # type: ignore[arg-type]
    assert messaging_wire.to_item(unknown) == Tick()
    assert messaging_wire.to_item(api.RelayItem(conversation_id="g1")) == Tick()


def test_what_waits_to_be_said_is_bounded_and_goes_together():
    """While the owner does not read: one word for each conversation, the newest signal of a key, and not too many of them."""
    upward = Upward()
    for number in range(3000):
        upward.want(["g1", "g2"], wanted=True)
        upward.want(["g1"], wanted=False)
        upward.signal(Signal("g2", "typing u1", str(number).encode()))
    request = upward.take()
    assert request is not None
    assert (list(request.subscribe), list(request.unsubscribe)) == (["g2"], ["g1"])
    assert [signal.frame for signal in request.signals] == [b"2999"]
    assert upward.take() is None
    for number in range(10_000):
        upward.signal(Signal("g2", f"typing u{number}", b"x" * 50))
    frames = []
    while (request := upward.take()) is not None:
        frames.append(request)
    assert sum(len(frame.signals) for frame in frames) == 2000
    assert all(frame.ByteSize() < 512 * 1024 for frame in frames)
