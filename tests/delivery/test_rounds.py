"""How a round is written (protocol W1)."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from svc.delivery import model, rounds
from svc.delivery.model import Event, Position
from svc.kernel.record import Kind, Record


def events_of(order: list[int], starts: dict[int, int], size: int) -> list[Event]:
    """Events of conversations as they come in a round."""
    newest = dict(starts)
    made = []
    for at, name in enumerate(order):
        newest[name] = newest.get(name, 0) + 1
        record = Record(Kind.MESSAGE, f"g{name + 1}", "u1", f"c{at}", at, b"x" * size)
        made.append(Event(record, Kind.MESSAGE, Position(1, at), newest[name], at, newest[name], 0))
    return made


@settings(max_examples=300, deadline=None)
@given(
    order=st.lists(st.integers(0, 3), max_size=60),
    starts=st.dictionaries(st.integers(0, 3), st.integers(0, 20)),
    size=st.integers(0, 40),
)
def test_a_wave_holds_one_run_of_each_conversation(order: list[int], starts: dict[int, int], size: int) -> None:
    """A run is contiguous, of one bucket, and bounded; the waves together are the round, each conversation in order."""
    events = events_of(order, starts, size)
    with_limits = {"RUN_BYTES": 100, "RUN_EVENTS": 5}
    before = {name: getattr(rounds, name) for name in with_limits}
    bucket_events, model.BUCKET_EVENTS = model.BUCKET_EVENTS, 8
    try:
        for name, value in with_limits.items():
            setattr(rounds, name, value)
        waves = rounds.waves(events)
        written: dict[str, list[int]] = defaultdict(list)
        for wave in waves:
            runs: dict[str, list[Event]] = defaultdict(list)
            for event in wave:
                runs[event.conversation_id].append(event)
            for name, run in runs.items():
                seqs = [event.seq for event in run]
                assert seqs == list(range(seqs[0], seqs[0] + len(run)))
                assert len({event.bucket for event in run}) == 1
                assert len(run) <= 5
                assert len(run) == 1 or sum(len(event.record.body) for event in run) <= 100
                written[name] += seqs
        assert sum(len(wave) for wave in waves) == len(events)
        for name, seqs in written.items():
            assert seqs == [event.seq for event in events if event.conversation_id == name]
    finally:
        model.BUCKET_EVENTS = bucket_events
        for name, value in before.items():
            setattr(rounds, name, value)


def test_a_round_of_one_bucket_is_one_wave() -> None:
    """What fits goes at once, however many conversations there are."""
    assert len(rounds.waves(events_of([0, 1, 0, 2, 1], {}, 10))) == 1


def test_nothing_needs_no_write() -> None:
    """A round of refusals writes nothing."""
    assert rounds.waves([]) == []
