"""What is typed is a message or a command."""

import pytest

from stonechat_client.chat.commands import Command, numbered, parse


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("hello", "hello"),
        ("  hello there ", "hello there"),
        ("one\ntwo", "one\ntwo"),
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
