"""The list of conversations counts what is unread, whichever of the server's two ways of telling comes first."""

from datetime import UTC, datetime

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Edit, Message, Withdrawal
from stonechat.messaging.v1.event_pb2 import ConversationHead
from stonechat_client.chat.conversations import Conversations

ME, BOB = "u1", "u2"
TALK = "d.u1.u2"


def event(seq, sender=BOB, conversation=TALK, **body):
    body = body or {"message": Message(type="text", content=f"text {seq}")}
    made = ConversationEvent(conversation_id=conversation, seq=seq, sender_id=sender, message_id=f"m1.{seq}", **body)
    made.timestamp.FromDatetime(datetime.fromtimestamp(seq, UTC))
    return made


def head(last_seq, unread, read=0, conversation=TALK):
    made = ConversationHead(conversation_id=conversation, last_seq=last_seq, unread_count=unread, read_seq=read)
    made.timestamp.FromDatetime(datetime.fromtimestamp(last_seq, UTC))
    return made


def listed(now=lambda: 0.0):
    return Conversations(ME, now)


def test_messages_of_others_are_unread_until_they_are_read():
    all_of_them = listed()
    for one in (event(1), event(2, ME), event(3), event(4)):
        all_of_them.apply(one)
    assert all_of_them.get(TALK).unread == 2  # who writes has read what stood above
    all_of_them.read(TALK, 3)
    assert all_of_them.get(TALK).unread == 2  # which of them is not known; the server tells
    all_of_them.read(TALK, 4)
    assert all_of_them.get(TALK).unread == 0


def test_what_a_head_counted_is_not_counted_again():
    all_of_them = listed()
    all_of_them.head(head(3, unread=2, read=1))
    for seq in (2, 3):
        all_of_them.apply(event(seq))
    assert all_of_them.get(TALK).unread == 2
    all_of_them.apply(event(4))
    assert all_of_them.get(TALK).unread == 3
    all_of_them.head(head(3, unread=2, read=1))  # an old page that comes late
    assert all_of_them.get(TALK).unread == 3


def test_what_stood_in_the_cache_is_unread_only_if_the_head_says_so():
    all_of_them = listed()
    all_of_them.remember(TALK, [event(1), event(2)])
    assert all_of_them.get(TALK).unread == 0
    all_of_them.head(head(2, unread=1, read=1))
    assert all_of_them.get(TALK).unread == 1


def test_the_most_recent_comes_first():
    all_of_them = listed()
    for one in (event(1, conversation="g1"), event(5, conversation="g2"), event(3, conversation="g3")):
        all_of_them.apply(one)
    assert [one.conversation_id for one in all_of_them] == ["g2", "g3", "g1"]
    all_of_them.forget("g2")
    assert [one.conversation_id for one in all_of_them] == ["g3", "g1"]


def test_the_last_message_is_shown_as_it_is_now():
    all_of_them = listed()
    all_of_them.apply(event(1))
    all_of_them.apply(event(2, edit=Edit(message_id="m1.1", content="other text")))
    assert all_of_them.get(TALK).said == "other text"
    all_of_them.apply(event(3, withdrawal=Withdrawal(message_id="m1.1")))
    assert all_of_them.get(TALK).said == ""


def test_somebody_types_until_they_have_written_or_six_seconds_have_passed():
    now = 100.0
    all_of_them = listed(lambda: now)
    all_of_them.apply(event(1))
    all_of_them.types(TALK, BOB)
    all_of_them.types(TALK, ME)
    assert all_of_them.typists(TALK) == [BOB]
    all_of_them.apply(event(2))
    assert all_of_them.typists(TALK) == []
    all_of_them.types(TALK, BOB)
    now += 6.0
    assert all_of_them.typists(TALK) == []
