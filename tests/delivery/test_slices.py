"""A slice made of rows that were read one by one: whole, and of nothing that may yet be written anew."""

from hypothesis import given
from hypothesis import strategies as st

from svc.delivery.model import BUCKET_EVENTS, NO_EVENTS, Position, Row, Slice, slice_of
from svc.kernel.record import Kind


def row(seq: int) -> Row:
    """Every third record became no event."""
    return Row(Position(1, seq * 3 // 2), seq, 500 + seq, 1000 + seq, seq, 0, Kind.MESSAGE)


def ends_at(rows: list[Row]) -> tuple[int, list[int]]:
    slice_ = slice_of(rows, Position(1, 0))
    return slice_.head.seq, [row.seq for row in slice_.rows]


@given(head=st.integers(0, 30), offset=st.integers(0, 50), missing=st.sets(st.integers(1, 30)), data=st.data())
def test_it_ends_below_the_first_number_that_is_missing(head: int, offset: int, missing: set[int], data: st.DataObject):
    """Of those at or above the start, in whichever order rows come; of those below, only the newest is needed."""
    start = Position(1, offset)
    needed = [row(seq) for seq in range(1, head + 1) if row(seq).position >= start]
    below = [row(seq) for seq in range(1, head + 1) if row(seq).position < start]
    found = [one for one in needed if one.seq not in missing]
    kept = below[-1:] + [one for one in below[:-1] if data.draw(st.booleans())]
    holes = [one.seq for one in needed if one.seq in missing]
    end = holes[0] - 1 if holes else head
    slice_ = slice_of(data.draw(st.permutations(found + kept)), start)
    assert slice_.head.seq == end
    assert list(slice_.rows) == [one for one in needed if one.seq <= end]


def test_nothing_is_an_empty_slice():
    assert slice_of([], Position(1, 0)) == Slice(NO_EVENTS, ())
    assert slice_of([row(2), row(3)], Position(1, 0)) == Slice(NO_EVENTS, ())


def test_it_may_begin_with_a_bucket_when_older_ones_were_moved_away():
    """A run never lies in two buckets: the first row of one has all before it stored."""
    edge = BUCKET_EVENTS
    assert ends_at([row(edge), row(edge + 1)]) == (edge + 1, [edge, edge + 1])
    assert ends_at([row(edge + 1)]) == (0, [])
    assert ends_at([row(edge - 1), row(edge)]) == (0, [])
