"""Whatever is pushed, lost, doubled or pulled: everything is handed over once and in order."""

from hypothesis import given
from hypothesis import strategies as st

from stonechat_client.positions import MAX_KNOWN, Positions


def positions_of(known):
    return Positions(known, lambda name, seq: None, lambda name, seq: None)


STEPS = st.lists(st.sampled_from(["push", "lose", "again", "no room", "behind", "pull one"]), max_size=60)


@given(known=st.integers(0, 5), steps=STEPS)
def test_everything_once_and_in_order(known, steps):
    positions, stored, handed = positions_of({"g1": known}), known, []

    def pushed(seq, room=True):
        if positions.pushed("g1", seq, room):
            handed.append(seq)
            positions.handed("g1", seq)

    def pull():
        seq = positions.next_missing("g1")
        if seq is not None:
            assert seq <= stored
            handed.append(seq)
            positions.handed("g1", seq)
        return seq

    for step in steps:
        match step:
            case "push":
                stored += 1
                pushed(stored)
            case "no room":
                stored += 1
                pushed(stored, room=False)
            case "lose":
                stored += 1
            case "again" if stored > known:
                pushed(stored)
            case "behind":
                positions.exists("g1", stored)
            case "pull one":
                pull()
    positions.exists("g1", stored)
    while pull() is not None:
        pass
    assert handed == list(range(known + 1, stored + 1))
    assert positions.missing() == []


def test_hello_names_the_inbox_and_what_moved_last():
    positions = positions_of({f"g{number}": 1 for number in range(1, MAX_KNOWN + 1)} | {"inbox.u1": 7})
    positions.handed("g1", 2)
    known = positions.known()
    assert len(known) == MAX_KNOWN
    assert list(known.items())[:2] == [("inbox.u1", 7), ("g1", 2)]
    assert "g2" not in known


def test_an_inbox_is_pulled_first():
    positions = positions_of({"g1": 0, "inbox.u1": 0})
    positions.exists("g1", 1)
    positions.exists("inbox.u1", 1)
    assert positions.missing() == ["inbox.u1", "g1"]


def test_what_was_forgotten_begins_anew():
    positions = positions_of({"g1": 5})
    positions.exists("g1", 9)
    positions.forget("g1")
    positions.handed("g1", 6)
    assert positions.missing() == []
    assert positions.pushed("g1", 20, room=True)


def test_when_there_is_nothing_to_pull_it_goes_on():
    positions = positions_of({"g1": 5})
    positions.exists("g1", 9)
    positions.nothing_there("g1")
    assert positions.pushed("g1", 6, room=True)
