"""What a stream may never do is found; what an honest one does is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat.messaging.v1.event_pb2 import ConversationHead
from stonechat_client.inspection import Inspection, has_place, inspect_answer
from stonechat_client.problems import ProblemKind


def event(seq, name="d.u1.u2"):
    return ConversationEvent(conversation_id=name, seq=seq, message_id=f"m9.{seq}")


def pushed(inspection, *seqs, name="d.u1.u2"):
    """The kinds of what is wrong with these, one after the other."""
    problems = [inspection.pushed(event(seq, name)) for seq in seqs]
    return [problem.kind for problem in problems if problem is not None]


def greeted(known, **heads):
    inspection = Inspection(known)
    for name, seq in heads.items():
        assert inspection.head(ConversationHead(conversation_id=name, last_seq=seq)) is None
    inspection.greeted()
    return inspection


@given(
    known=st.integers(0, 5),
    early=st.integers(0, 3),
    steps=st.lists(st.tuples(st.sampled_from(["push", "behind"]), st.integers(1, 4)), max_size=30),
)
def test_an_honest_stream_has_no_problem(known, early, steps):
    inspection, stored = Inspection({"g1": known}), known + early
    assert inspection.head(ConversationHead(conversation_id="g1", last_seq=stored)) is None
    inspection.greeted()
    for step, count in steps:
        stored += count
        if step == "behind":
            inspection.told("g1", stored)
        else:
            assert pushed(inspection, *range(stored - count + 1, stored + 1), name="g1") == []


def test_pushed_while_hello_is_answered_needs_no_telling():
    inspection = Inspection({})
    assert pushed(inspection, 7, 8, name="g1") == []
    inspection.greeted()
    assert pushed(inspection, 9, name="g1") == []
    assert pushed(inspection, 11, name="g1") == [ProblemKind.HOLE]


@pytest.mark.parametrize(
    ("seqs", "kinds"),
    [
        ((4, 4), [ProblemKind.DUPLICATE]),
        ((4, 5, 4), [ProblemKind.REORDERED]),
        ((5,), [ProblemKind.HOLE]),
        ((4, 6, 5), [ProblemKind.HOLE, ProblemKind.REORDERED]),
    ],
)
def test_what_is_pushed_twice_out_of_order_or_over_a_hole_is_found(seqs, kinds):
    assert pushed(greeted({"d.u1.u2": 3}), *seqs) == kinds


def test_a_direct_conversation_begins_at_its_first_event_and_a_group_where_it_is_heard_of():
    assert pushed(greeted({}), 2) == [ProblemKind.HOLE]
    assert pushed(greeted({}), 2, name="inbox.u1") == [ProblemKind.HOLE]
    assert pushed(greeted({}), 2, name="g1") == []


def test_a_conversation_that_ends_before_what_is_known_has_shrunk():
    problem = Inspection({"g1": 5}).head(ConversationHead(conversation_id="g1", last_seq=4))
    assert (problem.kind, problem.conversation_id, problem.seq) == (ProblemKind.SHRUNK, "g1", 4)


@pytest.mark.parametrize(
    ("events", "last_seq", "kind"),
    [
        ([event(4), event(5)], 9, None),
        ([], 3, None),
        ([], 2, ProblemKind.SHRUNK),
        ([event(5)], 5, ProblemKind.HOLE),
        ([event(4), event(6)], 6, ProblemKind.HOLE),
        ([event(4), event(4)], 5, ProblemKind.REORDERED),
        ([event(3), event(4)], 5, ProblemKind.REORDERED),
        ([event(4, "g9")], 5, ProblemKind.GARBAGE),
        ([ConversationEvent(conversation_id="d.u1.u2", seq=4, message_id="m9.5")], 5, ProblemKind.GARBAGE),
    ],
)
def test_an_answer_is_a_run_without_holes_of_the_conversation_that_was_asked_for(events, last_seq, kind):
    problem = inspect_answer("d.u1.u2", 3, events, last_seq)
    assert (problem and problem.kind) == kind


def test_a_place_is_a_conversation_and_a_number_that_the_message_id_repeats():
    assert has_place(event(4))
    assert not has_place(event(4, ""))
    assert not has_place(ConversationEvent(conversation_id="g1", message_id="m1.0"))
    assert not has_place(ConversationEvent(conversation_id="g1", seq=4, message_id="m1.14.5"))
