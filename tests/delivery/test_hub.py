"""The owner's end of the relay (protocol S1-S3, S8, S9)."""

from svc.delivery.hub import Hub, NodeQueue
from svc.kernel.relay import Ack, Answer, Event, Moved, NotOwner, Outcome, Signal, Tick


def hub(active: set[str] | None = None) -> Hub:
    """A hub of claim 7."""
    return Hub(lambda name: 7, lambda name: name in (active or set()))


def queue(hub: Hub, node: str = "n1", max_bytes: int = 1 << 20) -> NodeQueue:
    """An open stream."""
    made = NodeQueue(node, lambda: None, max_bytes)
    hub.open(made)
    return made


def event(seq: int, name: str = "g1", size: int = 10) -> Event:
    return Event(name, seq, 7, b"x" * size, 16)


def test_an_ack_is_exact() -> None:
    """What stands before it on the stream is at most its head; what follows begins with head + 1."""
    served = hub()
    one, other = queue(served), queue(served, "n2")
    assert served.subscribe(one, ["g1"]) == ["g1"]
    served.loaded("g1", 4)
    served.relay(event(5))
    assert served.subscribe(other, ["g1"]) == []
    served.relay(event(6))
    assert list(one.take()) == [Ack("g1", 4, 7), event(5), event(6)]
    assert list(other.take()) == [Ack("g1", 5, 7), event(6)]


def test_events_stored_once_more_do_not_take_the_head_back() -> None:
    """A new owner relays again what its predecessor stored; an Ack still names the newest."""
    served = hub()
    first = queue(served)
    served.loaded("g1", 9)
    served.relay(event(8))
    served.subscribe(first, ["g1"])
    assert list(first.take()) == [Ack("g1", 9, 7)]


def test_an_answer_reaches_its_node_whatever_it_subscribes_to() -> None:
    """Answers do not ride on subscriptions; those for unknown nodes go nowhere."""
    served = hub()
    stream = queue(served)
    answer = Answer(1, Outcome.STORED, 3, 4, 5)
    served.answer("n1", answer)
    served.answer("n2", answer)
    assert list(stream.take()) == [answer]


def test_a_node_has_one_stream() -> None:
    """Opening another ends the one before, and its subscriptions with it."""
    served = hub({"g1"})
    older = queue(served)
    served.loaded("g1", 1)
    served.subscribe(older, ["g1"])
    newer = queue(served)
    assert older.ended
    served.relay(event(2))
    assert list(newer.take()) == []


def test_an_overflow_says_how_far_each_conversation_moved() -> None:
    """Events give way to one Moved each, Acks and answers stay, signals go: nothing is dropped silently."""
    served = hub()
    stream = queue(served, max_bytes=1500)
    served.loaded("g1", 0)
    served.loaded("g2", 3)
    served.subscribe(stream, ["g1", "g2"])
    answer = Answer(1, Outcome.STORED, 3, 4, 5)
    served.answer("n1", answer)
    served.signal(Signal("g1", "typing", b"s" * 100))
    for seq in range(1, 6):
        served.relay(event(seq, size=300))
    served.relay(event(4, "g2", size=300))
    items = list(stream.take())
    assert stream.overflows == 1
    assert items[:4] == [answer, Ack("g1", 0, 7), Ack("g2", 3, 7), Moved("g1", 4)]
    assert items[4:] == [event(5, size=300), event(4, "g2", size=300)]


def test_a_node_with_very_many_conversations_can_open_a_stream() -> None:
    """An Ack for each subscription always fits, and so does one Moved."""
    served = hub()
    stream = queue(served, max_bytes=1000)
    names = [f"g{number}" for number in range(1, 200)]
    for name in names:
        served.loaded(name, 1)
    served.subscribe(stream, names)
    for name in names:
        served.relay(event(2, name, size=50))
    assert not stream.ended
    told = {item.conversation_id for item in stream.take() if isinstance(item, Ack)}
    assert told == set(names)


def test_a_stream_that_only_answers_overflow_ends() -> None:
    """The queue is bounded: the node opens a new stream and lists what it waits for."""
    served = hub()
    stream = queue(served, max_bytes=1000)
    for number in range(100):
        served.answer("n1", Answer(number, Outcome.STORED, 1, 1, 1))
    assert stream.ended


def test_what_is_not_ours_is_refused() -> None:
    """NotOwner, and no subscription is left."""
    served = hub()
    stream = queue(served)
    served.subscribe(stream, ["g1"])
    served.refused("g1")
    served.loaded("g1", 3)
    served.relay(event(4))
    assert list(stream.take()) == [NotOwner("g1")]


def test_who_left_is_told_nothing() -> None:
    """Neither events nor an Ack that was still awaited."""
    served = hub({"g1"})
    stream = queue(served)
    served.loaded("g1", 1)
    served.subscribe(stream, ["g1", "g2"])
    served.unsubscribe(stream, ["g1", "g2"])
    stream.take()
    served.relay(event(2))
    served.loaded("g2", 5)
    assert list(stream.take()) == []


def test_a_head_is_kept_while_it_is_needed() -> None:
    """A conversation that the sequencer forgot and nobody listens to must be loaded before its next Ack."""
    active = {"g1"}
    served = hub(active)
    stream = queue(served)
    served.loaded("g1", 1)
    served.subscribe(stream, ["g1"])
    active.clear()
    served.idle("g1")
    assert served.subscribe(stream, ["g1"]) == []
    served.unsubscribe(stream, ["g1"])
    assert served.subscribe(stream, ["g1"]) == ["g1"]


def test_every_stream_ticks_and_ends_with_the_claim() -> None:
    """A node hears at least once a second that its stream lives, and at once that the claim is gone."""
    served = hub()
    one, other = queue(served), queue(served, "n2")
    served.tick()
    assert [list(stream.take()) for stream in (one, other)] == [[Tick()], [Tick()]]
    served.close_all()
    assert one.ended
    assert other.ended


def test_what_is_given_away_is_told_after_all_that_was_relayed() -> None:
    """NotOwner to everybody who subscribed or waits; what stays goes on."""
    served = hub({"g1", "g2"})
    one, other = queue(served), queue(served, "n2")
    served.loaded("g1", 1)
    served.loaded("g2", 1)
    served.subscribe(one, ["g1", "g2"])
    served.subscribe(other, ["g3"])
    served.relay(event(2))
    served.gave(lambda name: name != "g2")
    served.relay(event(2, "g2"))
    assert list(one.take()) == [Ack("g1", 1, 7), Ack("g2", 1, 7), event(2), NotOwner("g1"), event(2, "g2")]
    assert list(other.take()) == [NotOwner("g3")]
    assert one.subscribed == {"g2"}
    assert served.subscribe(one, ["g1"]) == ["g1"]
