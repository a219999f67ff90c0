"""Text of others cannot steer a terminal, and times are short."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat_client.chat.text import clean, clock, day, one_row, when

NOW = datetime(2026, 11, 25, 18, 0).astimezone()


def test_text_of_others_cannot_steer_the_terminal():
    assert clean("\x1b[2Jgone\x07") == "\ufffd[2Jgone\ufffd"
    assert clean("left\u202eright") == "left\ufffdright"
    assert clean("one\ttwo") == "one    two"
    assert clean("one\r\ntwo\nthree") == "one\ntwo\nthree"
    assert clean("héllo 👩‍👩‍👧 שלום") == "héllo 👩‍👩‍👧 שלום"
    assert one_row("one\r\n\n  two\x1b") == "one two\ufffd"


@given(st.text(st.characters()))
def test_no_text_has_anything_but_rows_of_harmless_characters(text):
    assert all(character == "\n" or ord(character) >= 32 for character in clean(text))
    assert not any(127 <= ord(character) < 160 for character in clean(text))
    assert "\n" not in one_row(text)
    clean(text).encode()  # not even half a surrogate pair


@pytest.mark.parametrize(
    ("ago", "of_the_day", "short"),
    [
        (timedelta(0), "Today", "18:00"),
        (timedelta(days=1), "Yesterday", "24 Nov"),
        (timedelta(days=3), "Sunday, 22 November", "22 Nov"),
        (timedelta(days=365), "25 November 2025", "25.11.25"),
    ],
)
def test_a_time_is_told_as_people_do(ago, of_the_day, short):
    at = (NOW - ago).astimezone(UTC)
    assert (day(at, NOW), when(at, NOW), clock(at)) == (of_the_day, short, "18:00")
