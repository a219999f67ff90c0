"""What a stream may never do is noticed; else clients without faults would mean nothing."""

import json
from contextlib import ExitStack, closing

import pytest

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from stonechat.messaging.v1.event_pb2 import Behind, ConversationHead, Event, HelloPage
from tests.faults.follower import Follower
from tests.faults.ledger import Ledger

TALK = "d.u1.u2"


def _event(seq: int, content: str = "hello", **more: str) -> ConversationEvent:
    return ConversationEvent(conversation_id=TALK, seq=seq, message=Message(content=content), **more)


def _push(follower: Follower, *seqs: int) -> None:
    for seq in seqs:
        follower.take(Event(conversation_event=_event(seq)))


def _hello(seq: int) -> Event:
    return Event(
        hello_page=HelloPage(conversations=[ConversationHead(conversation_id=TALK, last_seq=seq)], complete=True)
    )


@pytest.fixture
def connected(tmp_path):
    with ExitStack() as stack:

        def connect(*pushed: int) -> Follower:
            path = tmp_path / f"{len(list(tmp_path.iterdir()))}.ledger"
            follower = Follower(stack.enter_context(closing(Ledger(path, "u1"))))
            follower.begin()
            follower.greeted({})
            _push(follower, *pushed)
            return follower

        yield connect


def _written(tmp_path, kind: str) -> list:
    lines = [json.loads(line) for line in (tmp_path / "0.ledger").read_text().splitlines()]
    return [line[kind] for line in lines if kind in line]


def test_events_in_order_leave_nothing_missing(connected):
    follower = connected(1, 2, 3)
    assert follower.missing() == []
    assert follower.knows({TALK: 3})
    assert not follower.knows({TALK: 4})
    assert follower.ledger.problems == []


def test_a_gap_that_nothing_was_said_of_is_a_fault_and_still_pulled(connected):
    follower = connected(1, 3)
    assert follower.ledger.problems == [f"{TALK} 3 was pushed, nothing was said of 2"]
    assert follower.missing() == [(TALK, 1)]
    follower.take_page([_event(2)])
    assert follower.knows({TALK: 3})


def test_a_gap_that_behind_told_of_is_no_fault(connected):
    follower = connected(1)
    follower.take(Event(behind=Behind(conversation_id=TALK, last_seq=4)))
    _push(follower, 5)
    assert follower.ledger.problems == []
    assert follower.missing() == [(TALK, 1)]


def test_an_event_that_comes_again_on_one_stream_is_a_fault(connected):
    assert len(connected(1, 2, 2).ledger.problems) == 1
    assert len(connected(1, 2, 1).ledger.problems) == 1


def test_another_stream_goes_on_from_what_is_known(connected):
    follower = connected(1, 2)
    assert follower.begin() == {TALK: 2}
    follower.take(_hello(2))
    _push(follower, 3)
    assert follower.ledger.problems == []


def test_what_is_pushed_before_hello_is_answered_is_held_against_the_answer(connected):
    follower = connected(1)
    follower.begin()
    _push(follower, 4, 5)
    assert follower.ledger.problems == []
    follower.take(_hello(3))
    assert follower.ledger.problems == []
    assert follower.missing() == [(TALK, 1)]

    follower.begin()
    _push(follower, 8)
    follower.take(_hello(6))
    assert follower.ledger.problems == [f"{TALK} 8 was pushed, nothing was said of 7"]


def test_what_is_written_down_is_in_order_and_once(connected, tmp_path):
    follower = connected(1, 3, 4)
    assert [seq for _, seq, _ in _written(tmp_path, "saw")] == [1]
    follower.take_page([_event(1), _event(2), _event(3)])
    follower.begin()
    follower.greeted({})
    _push(follower, 4, 5)
    assert [seq for _, seq, _ in _written(tmp_path, "saw")] == [1, 2, 3, 4, 5]
    assert _written(tmp_path, "from") == [[TALK, 0]]
    assert (follower.pushed, follower.pulled) == (5, 3)


def test_another_text_than_was_sent_is_a_fault(connected, tmp_path):
    follower = connected()
    follower.means("a", "as meant")
    follower.means("b", "as meant")
    follower.take(Event(conversation_event=_event(1, "as meant", sender_id="u1", client_message_id="a")))
    follower.take(Event(conversation_event=_event(2, "not so", sender_id="u2", client_message_id="b")))
    assert follower.ledger.problems == []
    follower.take(Event(conversation_event=_event(3, "not so", sender_id="u1", client_message_id="b")))
    assert _written(tmp_path, "problem") == ["different"]


def test_a_later_send_before_an_earlier_one_is_a_fault(connected, tmp_path):
    follower = connected()
    follower.acknowledged(TALK, 2, "a", "m5.2")
    follower.acknowledged("d.u1.u3", 1, "b", "m6.1")
    follower.acknowledged(TALK, 3, "c", "m7.3")
    assert follower.ledger.problems == []
    follower.acknowledged(TALK, 1, "d", "m8.1")
    assert _written(tmp_path, "problem") == ["reordered"]
    assert _written(tmp_path, "sent")[0] == [TALK, 2, "a", "m5.2"]
    assert follower.ledger.acknowledged == 4


def test_a_conversation_that_is_said_to_be_gone_is_a_fault(connected):
    follower = connected(1)
    follower.take(Event(hello_page=HelloPage(gone=[TALK])))
    assert follower.ledger.problems == [f"told that {TALK} is gone"]


def test_another_event_at_the_same_place_is_a_fault(connected):
    follower = connected(1, 2)
    follower.begin()
    follower.greeted({})
    follower.take(Event(conversation_event=_event(2, "something else")))
    (told,) = follower.ledger.problems
    assert told.startswith(f"{TALK} 2 was another event before")
