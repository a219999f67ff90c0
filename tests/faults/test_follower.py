"""What a stream may never do is noticed; else clients without faults would mean nothing."""

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from stonechat.messaging.v1.event_pb2 import Behind, ConversationHead, Event, HelloPage
from tests.faults.follower import Follower
from tests.faults.ledger import Ledger

TALK = "d.u1.u2"


def _event(seq: int, content: str = "hello") -> ConversationEvent:
    return ConversationEvent(conversation_id=TALK, seq=seq, message=Message(content=content))


def _push(follower: Follower, *seqs: int) -> None:
    for seq in seqs:
        follower.take(Event(conversation_event=_event(seq)))


def _hello(seq: int) -> Event:
    return Event(
        hello_page=HelloPage(conversations=[ConversationHead(conversation_id=TALK, last_seq=seq)], complete=True)
    )


def _connected(*pushed: int) -> Follower:
    follower = Follower(Ledger("u1"))
    follower.begin()
    follower.greeted({})
    _push(follower, *pushed)
    return follower


def test_events_in_order_leave_nothing_missing():
    follower = _connected(1, 2, 3)
    assert follower.missing() == []
    assert follower.knows({TALK: 3})
    assert not follower.knows({TALK: 4})
    assert follower.ledger.faults == []


def test_a_gap_that_nothing_was_said_of_is_a_fault_and_still_pulled():
    follower = _connected(1, 3)
    assert follower.ledger.faults == [f"{TALK} 3 was pushed, nothing was said of 2"]
    assert follower.missing() == [(TALK, 1)]
    follower.pulled([_event(2)])
    assert follower.knows({TALK: 3})


def test_a_gap_that_behind_told_of_is_no_fault():
    follower = _connected(1)
    follower.take(Event(behind=Behind(conversation_id=TALK, last_seq=4)))
    _push(follower, 5)
    assert follower.ledger.faults == []
    assert follower.missing() == [(TALK, 1)]


def test_an_event_that_comes_again_on_one_stream_is_a_fault():
    assert len(_connected(1, 2, 2).ledger.faults) == 1
    assert len(_connected(1, 2, 1).ledger.faults) == 1


def test_another_stream_goes_on_from_what_is_known():
    follower = _connected(1, 2)
    assert follower.begin() == {TALK: 2}
    follower.take(_hello(2))
    _push(follower, 3)
    assert follower.ledger.faults == []


def test_what_is_pushed_before_hello_is_answered_is_held_against_the_answer():
    follower = _connected(1)
    follower.begin()
    _push(follower, 4, 5)
    assert follower.ledger.faults == []
    follower.take(_hello(3))
    assert follower.ledger.faults == []
    assert follower.missing() == [(TALK, 1)]

    follower.begin()
    _push(follower, 8)
    follower.take(_hello(6))
    assert follower.ledger.faults == [f"{TALK} 8 was pushed, nothing was said of 7"]


def test_another_event_at_the_same_place_is_a_fault():
    follower = _connected(1, 2)
    follower.begin()
    follower.greeted({})
    follower.take(Event(conversation_event=_event(2, "something else")))
    assert follower.ledger.faults == [f"{TALK} 2 was another event before"]
