"""What is typed and what is shown."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat_client.chat import lines
from stonechat_client.chat.lines import COMMANDS, Command, Style, clean, clock, numbered, parse
from stonechat_client.chat.room import Room


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hello", "hello"),
        ("  hello there ", "hello there"),
        ("", ""),
        ("   ", ""),
        ("/quit", Command("/quit", "")),
        (" /TO  Bob ", Command("/to", "Bob")),
        ("/edit #3 to be / or not", Command("/edit", "#3 to be / or not")),
        ("//shrug", "/shrug"),
        ("/", Command("/", "")),
        ("1 / 2", "1 / 2"),
    ],
)
def test_a_line_is_a_command_or_a_message(typed, meant):
    assert parse(typed) == meant


@pytest.mark.parametrize(
    ("rest", "meant"),
    [
        ("#12 new text", (12, "new text")),
        ("#12", (12, "")),
        ("12 apostles", (None, "12 apostles")),
        ("#twelve", (None, "#twelve")),
        ("#12th", (None, "#12th")),
        ("", (None, "")),
    ],
)
def test_a_number_sign_names_a_message(rest, meant):
    assert numbered(rest) == meant


def test_text_of_others_cannot_steer_the_terminal():
    assert clean("\x1b[2Jgone\x07") == "\ufffd[2Jgone\ufffd"
    assert clean("left\u202eright") == "left\ufffdright"
    assert clean("one\ttwo") == "one two"
    assert clean("one\r\ntwo\nthree") == "one\n        two\n        three"
    assert clean("héllo 👩‍👩‍👧 שלום") == "héllo 👩‍👩‍👧 שלום"


@given(st.text())
def test_no_text_has_anything_but_rows_of_harmless_characters(text):
    assert all(character == "\n" or ord(character) >= 32 for character in clean(text))
    assert not any(127 <= ord(character) < 160 for character in clean(text))


def test_a_message_of_today_has_the_time_and_an_older_one_the_day():
    now = datetime(2026, 11, 25, 18, 0)
    assert clock(datetime(2026, 11, 25, 9, 5), now) == "09:05"
    assert clock(datetime(2026, 11, 24, 23, 59), now) == "24 Nov 23:59"


def test_own_messages_have_a_tick_and_edited_ones_say_so():
    own = lines.message("09:05", 3, "you", "hello", own=True)
    assert (own.text, own.style) == ("09:05 #3 you: hello ✓", Style.OWN)
    other = lines.message("09:05", 4, "bob", "hi", own=False, edited=True)
    assert (other.text, other.style) == ("09:05 #4 bob: hi (edited)", Style.MESSAGE)


def test_help_names_every_command():
    assert len(lines.helped().text.splitlines()) == len(COMMANDS)


def test_a_room_knows_the_messages_that_were_shown():
    room = Room("g1", "g1", "Birds")
    assert (room.message_id(None), room.message_id(1), room.oldest) == (None, None, "")
    for seq in (5, 7, 9):
        room.shown(seq, f"m{seq}", own=seq == 7)
    room.shown(2, "m2", own=True)
    assert room.oldest == "m2"
    assert (room.message_id(None), room.message_id(None, own=True)) == ("m9", "m7")
    assert (room.message_id(5), room.message_id(6)) == ("m5", None)


def test_a_room_remembers_a_bounded_number_of_messages():
    room = Room("g1", "g1", "Birds")
    for seq in range(1, 1102):
        room.shown(seq, f"m{seq}", own=False)
    assert (room.message_id(101), room.message_id(102)) == (None, "m102")
