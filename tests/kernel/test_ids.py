"""Ids never repeat and have one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.kernel.ids import (
    EPOCH_MS,
    MAX_SNOWFLAKE,
    MessageRef,
    SnowflakeGenerator,
    direct_conversation,
    direct_members,
    inbox_of,
    inbox_user,
    is_conversation_id,
    is_group_id,
    is_user_id,
    message_id,
    new_boot_id,
    parse_message_id,
)
from tests.fakes import FakeClock

NUMBERS = st.integers(1, MAX_SNOWFLAKE)
USERS = NUMBERS.map(lambda number: f"u{number}")
# Text that looks like an id, and often is not one.
ALMOST = st.text(st.sampled_from("ugdminbox.0123456789 ٣\n"), max_size=24)


def node_of(number: int) -> int:
    return number >> 12 & 1023


def ms_of(number: int) -> int:
    return (number >> 22) + EPOCH_MS


@given(st.lists(st.tuples(st.floats(-20, 20), st.integers(1, 50)), max_size=40))
def test_ids_never_repeat_and_grow_within_a_node_part(steps: list[tuple[float, int]]):
    """Whatever the clock does: stand still, jump, go back."""
    clock = FakeClock()
    generator = SnowflakeGenerator(clock, node=5)
    seen: list[int] = []
    for seconds, count in steps:
        clock.advance(seconds)
        seen += [generator.next() for _ in range(count)]
    assert len(set(seen)) == len(seen)
    assert all(0 < number <= MAX_SNOWFLAKE for number in seen)
    run: list[int] = []
    for number in seen:
        if run and node_of(number) != node_of(run[-1]):
            run = []
        assert not run or number > run[-1]
        run.append(number)


def test_an_id_tells_its_millisecond_and_node():
    """41 bits of time, 10 of node, 12 of counter."""
    clock = FakeClock()
    number = SnowflakeGenerator(clock, node=1023).next()
    assert (ms_of(number), node_of(number), number & 4095) == (clock.us // 1000, 1023, 0)


def test_a_used_up_millisecond_borrows_from_the_next():
    """More than 4,096 at once: the ids go on growing, without waiting."""
    clock = FakeClock()
    generator = SnowflakeGenerator(clock, node=1)
    numbers = [generator.next() for _ in range(10_000)]
    assert numbers == sorted(set(numbers))
    assert {ms_of(number) - clock.us // 1000 for number in numbers} == {0, 1, 2}
    assert generator.node_switches == 0


def test_a_clock_that_goes_back_a_little_is_waited_out():
    """The generator counts on in the last millisecond, under the same node."""
    clock = FakeClock()
    generator = SnowflakeGenerator(clock, node=1)
    before = generator.next()
    clock.advance(-4.9)
    after = generator.next()
    assert after == before + 1
    assert generator.node_switches == 0


def test_a_clock_that_goes_back_far_costs_the_node_part():
    """Another one is taken, with the time as it is now; that is counted."""
    clock = FakeClock()
    generator = SnowflakeGenerator(clock, node=1)
    generator.next()
    clock.advance(-3600)
    after = generator.next()
    assert node_of(after) != 1
    assert ms_of(after) == clock.us // 1000
    assert generator.node_switches == 1


def test_generators_take_random_node_parts():
    """Nobody deals them out; and no run of a process has the name of another."""
    clock = FakeClock()
    assert len({node_of(SnowflakeGenerator(clock).next()) for _ in range(50)}) > 25
    assert len({new_boot_id() for _ in range(50)}) == 50


@given(NUMBERS)
def test_user_and_group_ids_in_their_canonical_spelling(number: int):
    """Kinds are told apart by the prefix alone."""
    assert is_user_id(f"u{number}")
    assert not is_group_id(f"u{number}")
    assert is_group_id(f"g{number}")
    assert not is_user_id(f"g{number}")


@pytest.mark.parametrize(
    "text",
    ["", "u", "u0", "u01", "U1", "u-1", "u1 ", "u1\n", " u1", "u1.5", "u٣", "1", "uu1", f"u{2**63}", "u" + "9" * 40],
)
def test_any_other_spelling_of_a_user_is_refused(text: str):
    """Two spellings of one id would be two conversations."""
    assert not is_user_id(text)
    assert not is_conversation_id(f"inbox.{text}")
    assert inbox_user(f"inbox.{text}") is None
    assert direct_members(f"d.{text}.u99") is None


@given(USERS, USERS)
def test_a_direct_conversation_is_the_same_from_both_sides(one: str, other: str):
    """Lower number first, compared as numbers; a user has none with itself."""
    if one == other:
        assert direct_members(f"d.{one}.{one}") is None
        return
    name = direct_conversation(one, other)
    assert name == direct_conversation(other, one)
    members = direct_members(name)
    assert members is not None
    assert set(members) == {one, other}
    assert int(members[0][1:]) < int(members[1][1:])
    assert is_conversation_id(name)
    assert direct_members(f"d.{members[1]}.{members[0]}") is None


@given(USERS)
def test_everybody_has_an_inbox(user: str):
    """And it names its user."""
    assert inbox_user(inbox_of(user)) == user
    assert is_conversation_id(inbox_of(user))


@given(ALMOST)
def test_a_conversation_id_can_be_made_in_one_way_only(text: str):
    """What is accepted is spelt as it would be written anew."""
    if not is_conversation_id(text):
        return
    members, user = direct_members(text), inbox_user(text)
    if members is not None:
        assert direct_conversation(*members) == text
    elif user is not None:
        assert inbox_of(user) == text
    else:
        assert text == f"g{int(text[1:])}"


@given(NUMBERS, NUMBERS)
def test_a_message_id_names_its_record_and_place(record_id: int, seq: int):
    """And is read back as it was written."""
    assert parse_message_id(message_id(record_id, seq)) == MessageRef(record_id, seq)


@given(ALMOST)
def test_other_spellings_of_a_message_id_are_refused(text: str):
    """Whatever is accepted is canonical."""
    ref = parse_message_id(text)
    assert ref is None or message_id(ref.record_id, ref.seq) == text


@pytest.mark.parametrize(
    "text", ["", "m1", "m1.", "m.1", "m0.1", "m1.0", "m1.01", "m1.1 ", f"m{2**63}.1", f"m1.{2**63}"]
)
def test_what_is_almost_a_message_id_is_none(text: str):
    """No exception, no guess."""
    assert parse_message_id(text) is None
