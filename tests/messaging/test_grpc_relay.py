"""What only the relay between processes can suffer, and its words on the wire. What every relay promises: tests/contracts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.delivery.v1 import delivery_service_pb2 as api
from svc.delivery import wire as delivery_wire
from svc.delivery.hub import Hub
from svc.kernel.channels import Channels
from svc.kernel.errors import Unavailable
from svc.kernel.registry import ProcessRegistry
from svc.kernel.relay import Ack, Answer, Event, Item, Moved, NotOwner, Outcome, Signal, Tick, Unanswered, claim_of
from svc.messaging import wire as messaging_wire
from svc.messaging.adapters.relay import GrpcRelay, Upward
from tests.contracts.owner import open_stand, owning
from tests.contracts.relays import INNER_TOKEN, Reader, over_grpc


async def test_a_server_that_stops_ends_the_stream(tmp_path: Path):
    """The node hears of it, and its next attempt fails as unavailable, whatever gRPC calls it."""
    registry = ProcessRegistry()
    async with open_stand(tmp_path) as stand, owning(stand):
        async with over_grpc(stand, registry):
            (instance,) = [each for each in registry.instances("delivery") if each != stand.instance]
            channels = Channels(registry, INNER_TOKEN)
            stream = await GrpcRelay(channels).open("node", instance)
        with pytest.raises(Unavailable):
            await Reader(stream, []).until(lambda item: False)
        with pytest.raises(Unavailable):
            await GrpcRelay(channels).open("node", instance)
        await channels.close()


async def test_a_stream_is_open_as_soon_as_the_owner_has_taken_the_node_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Even if there is nothing to say, not so much as a tick."""
    monkeypatch.setattr(Hub, "tick", lambda hub: None)
    async with open_stand(tmp_path) as stand, owning(stand), over_grpc(stand, ProcessRegistry()) as relay:
        stream = await relay.open("node", stand.instance)
        await stream.close()


async def test_who_is_no_service_is_refused(tmp_path: Path):
    """A stream with a wrong inner token is not opened, and the reason is named."""
    registry = ProcessRegistry()
    async with open_stand(tmp_path) as stand, owning(stand), over_grpc(stand, registry):
        (instance,) = registry.instances("delivery")
        channels = Channels(registry, "guessed")
        with pytest.raises(Unavailable, match="for services only"):
            await GrpcRelay(channels).open("node", instance)
        await channels.close()


NAMES = st.text(min_size=1, max_size=40)
NUMBERS = st.integers(0, 2**63 - 1)
CLAIMS = st.builds(claim_of, NUMBERS, NUMBERS)
ITEMS = st.one_of(
    st.builds(Ack, NAMES, NUMBERS, CLAIMS),
    st.builds(
        Event,
        NAMES,
        NUMBERS,
        CLAIMS,
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
