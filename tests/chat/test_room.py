"""The open conversation is the same whichever way its events came: one by one, or in older pages put in front."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Edit, Message, Reaction, Withdrawal
from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.chat.room import Room
from stonechat_client.timeline import Delivery

NOW = datetime.fromtimestamp(1000, UTC)


def event(seq, sender, body):
    made = ConversationEvent(
        conversation_id="g1", seq=seq, sender_id=sender, message_id=f"m1.{seq}", client_message_id=f"k{seq}", **body
    )
    made.timestamp.FromDatetime(datetime.fromtimestamp(seq, UTC))
    return made


@st.composite
def histories(draw):
    events = []
    for seq in range(1, draw(st.integers(1, 12)) + 1):
        sender, kind = draw(st.sampled_from(["u1", "u2"])), draw(st.sampled_from(["message", "edit", "take", "react"]))
        target = f"m1.{draw(st.integers(1, seq))}"
        body = {
            "message": {"message": Message(type="text", content=f"text {seq}")},
            "edit": {"edit": Edit(message_id=target, content=f"edited by {seq}", type="text")},
            "take": {"withdrawal": Withdrawal(message_id=target)},
            "react": {"reaction": Reaction(message_id=target, emoji="👍", removed=draw(st.booleans()))},
        }[kind]
        events.append(event(seq, sender, body))
    return events


@given(histories(), st.data())
def test_pages_in_front_make_what_the_events_would_have_made(events, data):
    whole = Room("g1", "u1")
    for one in events:
        whole.apply(one)
    cut = data.draw(st.integers(0, len(events)))
    second = data.draw(st.integers(0, cut))
    paged = Room("g1", "u1")
    for one in events[cut:]:
        paged.apply(one)
    paged.older(events[second:cut])
    paged.older(events[:second])
    assert list(paged.items) == list(whole.items)
    assert (paged.oldest_seq, paged.newest_seq) == (1, len(events))


def message(seq, sender="u2"):
    return event(seq, sender, {"message": Message(type="text", content=f"text {seq}")})


def test_a_page_that_does_not_fit_is_left_out():
    room = Room("g1", "u1")
    room.apply(message(5))
    assert not room.older([message(2), message(3)])
    assert not room.older([])
    assert room.older([message(3), message(4)])
    assert not room.complete
    assert room.older([message(1), message(2)])
    assert room.complete
    room.apply(message(7))
    assert room.newest_seq == 5


def test_an_own_message_waits_is_stored_and_is_read():
    room = Room("g1", "u1")
    room.say("k2", "text 2", NOW)
    assert [item.delivery for item in room.items] == [Delivery.WAITING]
    room.older([message(1)])
    assert [item.delivery for item in room.items] == [None, Delivery.WAITING]
    sent = Sent(message_id="m1.2", conversation_id="g1", seq=2)
    room.stored("k2", sent)
    assert room.items[-1].delivery is Delivery.STORED
    room.apply(message(2, "u1"))
    room.read_by("u2", 2)
    assert [item.delivery for item in room.items] == [None, Delivery.READ]


def test_a_refused_message_stays_until_it_is_dismissed():
    room = Room("g1", "u1")
    room.say("k", "text", NOW)
    room.refused("k", "too long")
    room.older([message(1)])
    assert (room.items[-1].delivery, room.items[-1].why) == (Delivery.REFUSED, "too long")
    room.dismiss("k")
    assert len(room.items) == 1


def test_the_last_message_is_one_that_is_still_there():
    room = Room("g1", "u1")
    assert room.last_message(own=False) is None
    for one in (message(1, "u1"), message(2), message(3)):
        room.apply(one)
    room.apply(event(4, "u2", {"withdrawal": Withdrawal(message_id="m1.3")}))
    assert room.last_message(own=False).seq == 2
    assert room.last_message(own=True).seq == 1
    assert (room.message(2).content, room.message(9)) == ("text 2", None)
