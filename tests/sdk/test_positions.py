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


class Followed:
    """What a program that keeps `known` follows from where."""

    def __init__(self, known):
        self.begun = {}
        self.positions = Positions(known, self.begun.__setitem__, lambda name, seq: self.begun.pop(name, None))
        self.handed = {name: [] for name in known}

    def pull(self):
        while names := self.positions.missing():
            seq = self.positions.next_missing(names[0])
            self.hand_over(names[0], seq)
            yield names[0], seq

    def push(self, name, seq):
        if self.positions.pushed(name, seq, room=True):
            self.hand_over(name, seq)

    def hand_over(self, name, seq):
        self.handed.setdefault(name, []).append(seq)
        self.positions.handed(name, seq)


def test_for_a_program_without_an_inbox_all_that_there_was_is_history():
    followed = Followed({})
    for name in ("d.u1.u2", "g1", "inbox.u1"):
        followed.positions.exists(name, 7)
    assert followed.begun == {"d.u1.u2": 7, "g1": 7, "inbox.u1": 7}
    assert followed.positions.missing() == []


def test_a_conversation_that_was_opened_while_the_program_was_away_is_new():
    followed = Followed({"inbox.u1": 3})
    followed.positions.exists("d.u1.u2", 2)
    followed.positions.exists("inbox.u1", 4)
    assert list(followed.pull()) == [("inbox.u1", 4), ("d.u1.u2", 1), ("d.u1.u2", 2)]


def test_a_group_that_was_joined_while_the_program_was_away_begins_there():
    """Whatever is pushed before the inbox has said where it begins."""
    followed = Followed({"inbox.u1": 3})
    followed.push("g1", 9)
    assert list(followed.pull()) == []
    followed.positions.exists("g1", 9)
    followed.positions.exists("inbox.u1", 4)
    followed.positions.settle()
    followed.push("g1", 10)
    for name, seq in followed.pull():
        if (name, seq) == ("inbox.u1", 4):
            followed.positions.joined("g1", 6)
    followed.push("g1", 11)
    assert followed.handed["g1"] == [6, 7, 8, 9, 10, 11]
    assert followed.begun == {"g1": 5}


def test_a_group_of_which_the_inbox_says_nothing_more_goes_on_from_where_it_was_heard_of():
    followed = Followed({"inbox.u1": 3})
    followed.positions.exists("g1", 9)
    followed.positions.settle()
    for seq in (10, 11):
        followed.push("g1", seq)
        assert list(followed.pull()) in ([("g1", 10)], [])
    assert followed.handed["g1"] == [10, 11]
    followed.positions.joined("g1", 6)  # too late: order is what counts
    assert followed.positions.missing() == []


def test_a_group_that_was_left_and_joined_again_while_the_program_was_away_goes_on_to_its_end():
    followed = Followed({"inbox.u1": 3, "g1": 10})
    followed.positions.exists("g1", 25)
    followed.positions.exists("inbox.u1", 5)
    followed.positions.settle()
    for name, seq in followed.pull():
        if (name, seq) == ("inbox.u1", 4):
            followed.positions.left("g1", 11)
        if (name, seq) == ("inbox.u1", 5):
            followed.positions.joined("g1", 20)
    assert followed.handed["g1"] == [20, 21, 22, 23, 24, 25]
    assert followed.begun["g1"] == 19


def test_an_inbox_that_comes_after_its_group_takes_nothing_back():
    """The group tells that the user left, came again and was written to; only then the inbox says so."""
    followed = Followed({"inbox.u1": 3, "g1": 10})
    followed.positions.settle()
    for seq in (11, 12, 13):
        followed.push("g1", seq)
    followed.positions.left("g1", 11)
    followed.positions.joined("g1", 12)
    assert list(followed.pull()) == []
    followed.push("g1", 14)
    assert followed.handed["g1"] == [11, 12, 13, 14]
