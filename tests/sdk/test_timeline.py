"""A timeline shows a conversation as its events say, whatever comes first: events, pages of history, or answers."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.groups.v1.membership_pb2 import Member, MembershipChange
from stonechat.history.v1.history_service_pb2 import Message as StoredMessage
from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import Sent
from stonechat_client.timeline import Delivery, Timeline, TimelineMembership, TimelineMessage

ME, OTHER, THIRD = "u1", "u2", "u3"
SECOND = 1_700_000_000


def message_id(seq: int) -> str:
    return f"m{1000 + seq}.{seq}"


def event(seq: int, sender: str = OTHER, conversation_id: str = "g1") -> ConversationEvent:
    made = ConversationEvent(conversation_id=conversation_id, seq=seq, sender_id=sender, message_id=message_id(seq))
    made.timestamp.FromSeconds(SECOND + seq)
    return made


def said(seq: int, content: str, sender: str = OTHER, client_message_id: str = "") -> ConversationEvent:
    made = event(seq, sender)
    made.client_message_id = client_message_id
    made.message.type, made.message.content = "text", content
    return made


def edited(seq: int, target: int, content: str) -> ConversationEvent:
    made = event(seq)
    made.edit.message_id, made.edit.type, made.edit.content = message_id(target), "text", content
    return made


def withdrawn(seq: int, target: int) -> ConversationEvent:
    made = event(seq)
    made.withdrawal.message_id = message_id(target)
    return made


def reacted(seq: int, target: int, emoji: str, sender: str = OTHER, removed: bool = False) -> ConversationEvent:
    made = event(seq, sender)
    made.reaction.message_id, made.reaction.emoji, made.reaction.removed = message_id(target), emoji, removed
    return made


def history(
    seq: int, content: str, edited: bool = False, withdrawn: bool = False, sender: str = OTHER
) -> StoredMessage:
    made = StoredMessage(seq=seq, message_id=message_id(seq), content=content, sender_id=sender, type="text")
    made.edited, made.withdrawn = edited, withdrawn
    made.timestamp.FromSeconds(SECOND + seq)
    return made


def messages(timeline: Timeline) -> list[TimelineMessage]:
    return [item for item in timeline.items() if isinstance(item, TimelineMessage)]


def test_a_message_has_everything_that_is_known_of_it() -> None:
    timeline = Timeline(ME)
    assert timeline.apply(said(1, "hello", client_message_id="c1")) == 1
    at = datetime.fromtimestamp(SECOND + 1, UTC)
    assert timeline.items() == [TimelineMessage(1, message_id(1), "c1", OTHER, at, "hello")]
    assert timeline.item(1) == timeline.items()[0]
    assert timeline.item(2) is None


def test_an_edit_replaces_the_text_and_names_the_message_that_changed() -> None:
    timeline = Timeline(ME)
    timeline.apply(said(1, "helo"))
    assert timeline.apply(edited(2, 1, "hello")) == 1
    (item,) = messages(timeline)
    assert (item.content, item.edited) == ("hello", True)


def test_a_withdrawal_leaves_no_text_and_no_reactions() -> None:
    timeline = Timeline(ME)
    timeline.apply(said(1, "secret"))
    timeline.apply(reacted(2, 1, "👍"))
    assert timeline.apply(withdrawn(3, 1)) == 1
    timeline.apply(edited(4, 1, "late"))
    (item,) = messages(timeline)
    assert (item.content, item.withdrawn, item.edited, item.reactions) == ("", True, False, {})
    assert "secret" not in repr(timeline.items())


def test_a_message_that_was_withdrawn_before_it_was_pulled_is_withdrawn() -> None:
    timeline, gone, edit = Timeline(ME), event(1), event(2)
    gone.message.SetInParent()
    edit.edit.message_id = message_id(1)
    timeline.apply(gone)
    timeline.apply(edit)
    (item,) = messages(timeline)
    assert (item.content, item.withdrawn, item.edited) == ("", True, False)


def test_an_edit_whose_text_is_gone_says_that_its_message_was_withdrawn() -> None:
    timeline, edit = Timeline(ME), event(2)
    timeline.apply(said(1, "seen before it was withdrawn"))
    edit.edit.message_id = message_id(1)
    assert timeline.apply(edit) == 1
    (item,) = messages(timeline)
    assert (item.content, item.withdrawn) == ("", True)


def test_reactions_are_counted_by_emoji_in_the_order_in_which_they_came() -> None:
    timeline = Timeline(ME)
    timeline.apply(said(1, "hello"))
    assert timeline.apply(reacted(2, 1, "👍", OTHER)) == 1
    for seq, sender in ((3, THIRD), (4, ME)):
        timeline.apply(reacted(seq, 1, "👍", sender))
    timeline.apply(reacted(5, 1, "👀", ME))
    timeline.apply(reacted(6, 1, "👍", THIRD, removed=True))
    assert messages(timeline)[0].reactions == {"👍": (OTHER, ME), "👀": (ME,)}
    timeline.apply(reacted(7, 1, "👀", ME, removed=True))
    timeline.apply(reacted(8, 1, "🙃", ME, removed=True))
    assert messages(timeline)[0].reactions == {"👍": (OTHER, ME)}


def test_a_change_of_a_message_that_comes_later_is_kept_for_it() -> None:
    timeline = Timeline(ME)
    assert timeline.apply(edited(8, 3, "new")) is None
    timeline.apply(withdrawn(9, 4))
    timeline.apply(reacted(10, 3, "👍"))
    timeline.load([history(4, "was"), history(3, "old")])
    third, fourth = messages(timeline)
    assert (third.content, third.edited, third.reactions) == ("new", True, {"👍": (OTHER,)})
    assert (fourth.content, fourth.withdrawn) == ("", True)


def test_a_late_page_of_history_takes_nothing_back() -> None:
    timeline = Timeline(ME)
    timeline.load([history(1, "new", edited=True), history(2, "", withdrawn=True)])
    timeline.load([history(1, "old"), history(2, "was here")])
    first, second = messages(timeline)
    assert (first.content, first.edited) == ("new", True)
    assert (second.content, second.withdrawn) == ("", True)


def test_a_change_that_names_another_message_by_the_same_number_changes_nothing() -> None:
    timeline, forged = Timeline(ME), event(2)
    timeline.apply(said(1, "hello"))
    forged.edit.message_id, forged.edit.type, forged.edit.content = "m7.1", "text", "forged"
    assert timeline.apply(forged) is None
    assert messages(timeline)[0].content == "hello"


def test_members_stand_among_the_messages() -> None:
    timeline, change = Timeline(ME), event(2)
    change.membership.CopyFrom(MembershipChange(version=2, joined=[Member(user_id=THIRD)]))
    for one in (said(1, "hello"), change, said(3, "welcome")):
        timeline.apply(one)
    at = datetime.fromtimestamp(SECOND + 2, UTC)
    assert timeline.items()[1] == TimelineMembership(2, OTHER, at, change.membership)
    assert [item.seq for item in timeline.items()] == [1, 2, 3]


def test_kinds_with_nothing_to_show_show_nothing() -> None:
    timeline, unknown, broken = Timeline(ME), event(1), event(2)
    broken.unprocessable.SetInParent()
    assert timeline.apply(unknown) is None
    assert timeline.apply(broken) is None
    assert timeline.items() == []


def test_an_event_of_another_conversation_is_refused() -> None:
    timeline = Timeline(ME)
    timeline.apply(said(1, "hello"))
    with pytest.raises(ValueError, match="of g1, not of g2"):
        timeline.apply(event(2, conversation_id="g2"))


def test_an_own_message_waits_is_stored_and_is_read() -> None:
    timeline, now = Timeline(ME), datetime(2026, 1, 1, tzinfo=UTC)
    timeline.apply(said(1, "hello"))
    timeline.pending("c1", "hi", now)
    waiting = messages(timeline)[-1]
    assert (waiting.seq, waiting.delivery, waiting.content, waiting.at) == (0, Delivery.WAITING, "hi", now)
    assert waiting.sender_id == ME
    assert timeline.apply(said(2, "hi", ME, "c1")) == 2
    assert [(item.seq, item.delivery) for item in messages(timeline)] == [(1, None), (2, Delivery.STORED)]
    timeline.read_mark(ME, 2)
    timeline.read_mark(OTHER, 1)
    assert messages(timeline)[-1].delivery is Delivery.STORED
    timeline.read_mark(OTHER, 2)
    timeline.read_mark(OTHER, 1)
    assert messages(timeline)[-1].delivery is Delivery.READ


def test_an_answer_gives_a_message_its_place_before_its_event_comes() -> None:
    timeline, sent = Timeline(ME), Sent(message_id=message_id(2), seq=2, conversation_id="g1")
    sent.timestamp.FromSeconds(SECOND + 2)
    timeline.pending("c1", "hi")
    timeline.pending("c2", "there")
    assert timeline.stored("c1", sent) == 2
    assert timeline.stored("c1", sent) is None
    timeline.apply(said(1, "hello"))
    once = messages(timeline)
    assert [(item.seq, item.content, item.delivery) for item in once] == [
        (1, "hello", None),
        (2, "hi", Delivery.STORED),
        (0, "there", Delivery.WAITING),
    ]
    timeline.apply(said(2, "hi", ME, "c1"))
    assert messages(timeline) == once


def test_a_message_that_has_its_place_does_not_wait_again() -> None:
    timeline = Timeline(ME)
    timeline.apply(said(1, "hi", ME, "c1"))
    timeline.pending("c1", "hi")
    timeline.refused("c1", "no")
    assert [item.delivery for item in messages(timeline)] == [Delivery.STORED]


def test_somebody_elses_message_with_the_same_client_message_id_is_not_ours() -> None:
    timeline = Timeline(ME)
    timeline.pending("c1", "mine")
    timeline.apply(said(1, "theirs", OTHER, "c1"))
    assert [item.delivery for item in messages(timeline)] == [None, Delivery.WAITING]


def test_a_refused_message_stays_in_sight_until_it_is_dismissed_or_said_again() -> None:
    timeline = Timeline(ME)
    timeline.pending("c1", "hi")
    timeline.pending("c2", "there")
    timeline.refused("c1", "you are no member")
    assert [(item.delivery, item.why) for item in messages(timeline)] == [
        (Delivery.REFUSED, "you are no member"),
        (Delivery.WAITING, ""),
    ]
    timeline.pending("c1", "hi")
    assert messages(timeline)[0].delivery is Delivery.WAITING
    timeline.dismiss("c1")
    assert [item.client_message_id for item in messages(timeline)] == ["c2"]


def test_the_oldest_leave_and_history_brings_them_back() -> None:
    timeline = Timeline(ME, kept=10)
    for seq in range(1, 41):
        timeline.apply(said(seq, str(seq), ME, f"c{seq}"))
        timeline.apply(reacted(seq, 1000 + seq, "👍"))
        assert len(timeline.items()) <= 11
        assert len(timeline._changes) <= 21  # of messages that never come
    shown = [item.seq for item in timeline.items()]
    assert shown == list(range(shown[0], 41))
    assert len(shown) >= 10
    timeline.load([history(2, "2"), history(1, "1")])
    assert [item.seq for item in timeline.items()] == [1, 2, *shown]


@given(st.data())
def test_events_and_pages_in_any_mixture_show_what_is_stored(data: st.DataObject) -> None:
    """Whatever part of the history is loaded, once or twice, early or late: in the end each message is in its newest form."""
    newest: dict[int, StoredMessage] = {}
    events: list[ConversationEvent] = []
    pages: list[list[StoredMessage]] = [[]]
    for seq in range(1, data.draw(st.integers(1, 12)) + 1):
        targets = [target for target, message in newest.items() if not message.withdrawn]
        kind = data.draw(st.sampled_from(["said", "edited", "withdrawn"])) if targets else "said"
        if kind == "said":
            events.append(said(seq, f"text {seq}"))
            newest[seq] = history(seq, f"text {seq}")
        else:
            target = data.draw(st.sampled_from(targets))
            events.append(edited(seq, target, f"text {seq}") if kind == "edited" else withdrawn(seq, target))
            text = f"text {seq}" if kind == "edited" else ""
            newest[target] = history(target, text, edited=kind == "edited", withdrawn=kind == "withdrawn")
        pages.append([StoredMessage.FromString(message.SerializeToString()) for message in newest.values()])
    begin = data.draw(st.integers(0, len(events)))  # the session begins behind this event; what was before is history
    timeline = Timeline(ME)
    for number, one in enumerate(events[begin:], begin):
        for _ in range(data.draw(st.integers(0, 2))):
            timeline.load(pages[data.draw(st.integers(begin, number))])
        timeline.apply(one)
    timeline.load(pages[data.draw(st.integers(begin, len(events)))])
    shown = {item.seq: (item.content, item.edited, item.withdrawn) for item in messages(timeline)}
    stored = {seq: (one.content, one.edited, one.withdrawn) for seq, one in newest.items()}
    assert shown == stored
