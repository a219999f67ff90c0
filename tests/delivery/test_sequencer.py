"""The verdict (protocol L2–L7, T2, T4): from the log and facts that never change, whoever judges."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svc.delivery import sequencer as sequencer_module
from svc.delivery.model import LogIncidentError, Position
from svc.kernel.record import Kind, Record
from svc.kernel.relay import Outcome
from tests.delivery.records import HOUR_US, NAME, Partition, change, entry, message


def test_seq_counts_and_times_grow_even_when_the_logs_clock_does_not() -> None:
    """seq is one more than before; time is the append time, or a microsecond after the event before."""
    partition = Partition()
    events = [partition.one(entry(at, us), message(f"c{at}", at)).event for at, us in enumerate((500, 500, 100, 900))]
    assert [(event.seq, event.time_us) for event in events if event] == [(1, 500), (2, 501), (3, 502), (4, 900)]


def test_a_repeat_gets_the_first_answer() -> None:
    """The same key with the same content is the same message; no second number is given."""
    partition = Partition()
    first = partition.one(entry(0), message("c", 7))
    again = partition.one(entry(1), message("c", 8))
    assert again.outcome is Outcome.REPEAT
    assert (again.seq, again.record_id, again.time_us, again.event) == (1, 7, first.time_us, None)


def test_a_repeat_in_the_same_batch_is_one() -> None:
    """What was numbered a moment ago is known, though the store has not seen it."""
    first, again = Partition().judge((entry(0), message("c", 7)), (entry(1), message("c", 8)))
    assert (first.outcome, again.outcome, again.record_id) == (Outcome.STORED, Outcome.REPEAT, 7)


def test_other_content_under_one_key_is_a_conflict() -> None:
    """It is refused and takes no number."""
    partition = Partition()
    partition.one(entry(0), message("c", 7))
    assert partition.one(entry(1), message("c", 8, b"other")).outcome is Outcome.CONFLICT
    assert partition.one(entry(2), message("d", 9)).seq == 2


def test_what_came_too_late_is_not_numbered_unless_it_is_a_repeat() -> None:
    """Expired is judged by the log's clock; but who repeats what stands hears that it stands."""
    partition = Partition()
    assert partition.one(entry(5), message("c", 7, not_after_us=4_999_999)).outcome is Outcome.EXPIRED
    assert partition.one(entry(6), message("c", 8, not_after_us=6_000_000)).seq == 1
    assert partition.one(entry(9), message("c", 9, not_after_us=6_000_000)).outcome is Outcome.REPEAT


@pytest.mark.parametrize(("hours", "outcome"), [(24, Outcome.REPEAT), (25, Outcome.STORED)])
def test_repeats_are_recognised_for_a_day_whoever_remembers_more(hours: int, outcome: Outcome) -> None:
    """An owner that holds the key in memory and one that finds it in the store say the same."""
    warm = Partition()
    warm.one(entry(0, HOUR_US), message("c", 1))
    cold = Partition(start=1, stored=warm.events)
    late = entry(1, HOUR_US + hours * HOUR_US)
    assert [partition.one(late, message("c", 2)).outcome for partition in (warm, cold)] == [outcome, outcome]


def test_keys_are_forgotten_only_between_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat is recognised though the batch that holds it is larger than the window of keys."""
    monkeypatch.setattr(sequencer_module, "_KEYS_PER_CONVERSATION", 2)
    partition = Partition()
    partition.one(entry(0), message("first", 1))
    many = [(entry(at), message(f"c{at}", at)) for at in range(1, 6)]
    assert partition.judge(*many, (entry(6), message("first", 99)))[-1].outcome is Outcome.REPEAT
    assert partition.one(entry(7), message("first", 100)).outcome is Outcome.REPEAT


def test_a_former_owner_does_not_believe_what_lies_ahead() -> None:
    """A key row of a later position, and a target that is stored later, are not there yet for a record before them."""
    ahead = Partition()
    ahead.one(entry(1), message("c", 2))
    former = Partition()
    former.events, former.keys = ahead.events, ahead.keys
    early = change(Kind.EDIT, 3, 1, 2)
    assert former.one(entry(0, 0), early).outcome is Outcome.NO_TARGET
    assert former.one(entry(0, 0), message("c", 1, not_after_us=-1)).outcome is Outcome.EXPIRED


def test_a_key_row_without_its_event_does_not_count() -> None:
    """In a new era a smaller position proves nothing: what counts is whether the event is there."""
    before = Partition()
    before.one(entry(0), message("c", 1))
    partition = Partition(era=2)
    partition.keys = before.keys
    verdict = partition.one(entry(0), message("c", 1))
    assert (verdict.outcome, verdict.seq) == (Outcome.STORED, 1)


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        (change(Kind.EDIT, 9, 1, 1), Outcome.STORED),
        (change(Kind.WITHDRAWAL, 9, 1, 1), Outcome.STORED),
        (change(Kind.EDIT, 9, 1, 1, sender="u2"), Outcome.NO_TARGET),
        (change(Kind.REACTION, 9, 1, 1, sender="u2"), Outcome.STORED),
        (change(Kind.EDIT, 9, 1, 5), Outcome.NO_TARGET),
        (change(Kind.EDIT, 9, 2, 1), Outcome.NO_TARGET),
    ],
)
def test_a_change_names_a_message_that_stands_and_is_the_senders(record: Record, outcome: Outcome) -> None:
    """Anybody may react; only the sender edits and withdraws; seq and record must both fit."""
    partition = Partition()
    partition.one(entry(0), message("c", 1))
    assert partition.one(entry(1), record).outcome is outcome


def test_versions_of_members_only_grow() -> None:
    """What the outbox sends twice, or late, is dropped."""
    partition = Partition()
    sent = [
        Record(Kind.MEMBERSHIP, NAME, "system", f"~v{number}.{at}", at, b"", version=number)
        for at, number in enumerate((1, 3, 2, 3, 4))
    ]
    outcomes = [partition.one(entry(at), record).outcome for at, record in enumerate(sent)]
    assert outcomes == [Outcome.STORED, Outcome.STORED, Outcome.STALE, Outcome.STALE, Outcome.STORED]


def test_another_record_at_a_known_place_is_an_incident() -> None:
    """The log was cut and filled again: stop, whatever else may be said."""
    before = Partition()
    before.one(entry(0), message("c", 1))
    with pytest.raises(LogIncidentError):
        Partition(stored=before.events).one(entry(0), message("d", 2))


def test_a_message_below_the_head_that_nothing_explains_is_an_incident() -> None:
    """It is neither stored, nor a repeat, nor expired: it must not be refused as if it were known."""
    before = Partition()
    before.one(entry(4), message("c", 1))
    with pytest.raises(LogIncidentError):
        Partition(stored=before.events).one(entry(2), message("new", 2))


def test_a_head_beyond_the_end_of_the_log_is_an_incident() -> None:
    """The log was cut."""
    before = Partition()
    before.one(entry(4), message("c", 1))
    with pytest.raises(LogIncidentError):
        Partition(log_end=4, stored=before.events)


def test_a_record_that_cannot_be_processed_takes_its_number_and_no_key() -> None:
    """A bug changes a row, never a number; sent again it is a new event."""
    partition = Partition()
    verdict = partition.sequencer.unprocessable(entry(0), message("c", 1), "a bug")
    assert (verdict.outcome, verdict.seq, verdict.event is not None and verdict.event.kind) == (
        Outcome.UNPROCESSABLE,
        1,
        Kind.UNPROCESSABLE,
    )
    assert partition.one(entry(1), message("c", 2)).seq == 2


drawn = st.lists(
    st.tuples(
        st.sampled_from(("message", "other", "edit", "late")), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3)
    ),
    max_size=25,
)


def _log(actions: list[tuple[str, int, int, int]]) -> list[tuple[object, Record]]:
    log = []
    for at, (what, number, target, pause) in enumerate(actions):
        record = {
            "message": message(f"c{number}", at + 100),
            "other": message(f"c{number}", at + 100, b"other"),
            "late": message(f"c{number}", at + 100, not_after_us=1),
            "edit": change(Kind.EDIT, at + 100, target, 100 + target),
        }[what]
        log.append((entry(at, at * 1_000_000 + pause * 9 * HOUR_US), record))
    return log


@settings(max_examples=300, deadline=None)
@given(actions=drawn, cuts=st.lists(st.integers(0, 25), max_size=3), kept=st.sampled_from((1, 3, 2048)))
def test_whoever_takes_over_wherever_gives_the_same_numbers(
    actions: list[tuple[str, int, int, int]], cuts: list[int], kept: int
) -> None:
    """An owner that starts at any committed offset, with whatever its predecessor stored beyond it, decides the same."""
    log = _log(actions)
    whole = Partition()
    right = [whole.one(*it).event for it in log]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequencer_module, "_KEYS_PER_CONVERSATION", kept)
        for committed in sorted(min(cut, len(log)) for cut in cuts):
            ahead = [event for event in whole.events if event.position < Position(1, committed + 3)]
            taken = Partition(start=committed, stored=ahead)
            events = [verdict.event for verdict in taken.judge(*log[committed:])]
            assert events == right[committed:]
