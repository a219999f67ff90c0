"""A ledger is read as agreed, or refused with the file, the line and what is wrong. Only what a kill tore is left out."""

import json

import pytest

from svc.verify.ledgers import LedgerError, parse
from svc.verify.testimony import Began, From, Left, Problem, Saw, Sent

BEGAN = '{"ledger": 1, "user": "u1", "device": "v2", "at": "2026-01-02T03:04:05.678901Z"}'
FROM = '{"from": ["d.u1.u2", 0]}'
SAW = '{"saw": ["d.u1.u2", 1, "0123456789abcdef-0123456789abcdef"]}'
WHOLE = [
    BEGAN,
    FROM,
    SAW,
    '{"saw": ["d.u1.u2", 2, "0123456789abcdef-"]}',
    '{"sent": ["d.u1.u2", 2, "my id", "m5.2"]}',
    '{"left": ["d.u1.u2", 2]}',
    '{"problem": "hole", "conversation": "", "seq": 0, "text": "what it said"}',
]


def read(*lines, end="\n"):
    return list(parse("some.ledger", ("\n".join(lines) + end).encode().splitlines(keepends=True)))


def test_every_kind_of_line():
    assert read(*WHOLE) == [
        (1, Began("u1", "v2", 1_767_323_045_678_901)),
        (2, From("d.u1.u2", 0)),
        (3, Saw("d.u1.u2", 1, "0123456789abcdef-0123456789abcdef")),
        (4, Saw("d.u1.u2", 2, "0123456789abcdef-")),
        (5, Sent("d.u1.u2", 2, "my id", "m5.2")),
        (6, Left("d.u1.u2", 2)),
        (7, Problem("hole", "", 0, "what it said")),
    ]


def test_an_empty_ledger_says_nothing():
    assert read(end="") == []


@pytest.mark.parametrize("length", range(1, len(SAW)))
def test_a_last_line_that_a_kill_tore_is_left_out(length):
    assert read(BEGAN, FROM, SAW[:length], end="") == read(BEGAN, FROM)
    assert read(BEGAN, FROM, SAW[:length], BEGAN, FROM) == [
        *read(BEGAN, FROM),
        (4, read(BEGAN)[0][1]),
        (5, From("d.u1.u2", 0)),
    ]


def test_a_torn_character_is_torn():
    lines = [BEGAN.encode() + b"\n", '{"problem": "hole", "text": "ä'.encode()[:-1]]
    assert list(parse("some.ledger", lines)) == read(BEGAN)


@pytest.mark.parametrize("length", range(1, len(SAW)))
def test_a_torn_line_in_the_middle_is_refused(length):
    with pytest.raises(LedgerError, match=r"^some\.ledger:3: it is no JSON"):
        read(BEGAN, FROM, SAW[:length], SAW)


def _but(**changes):
    return json.dumps({key: value for key, value in (json.loads(BEGAN) | changes).items() if value is not None})


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("7", "must be a JSON object"),
        ("{}", "must be a JSON object"),
        ('{"heard": ["d.u1.u2", 1]}', "'heard' is unknown in ledgers of version 1"),
        ('{"saw": ["d.u1.u2", 1, "0123456789abcdef-"], "by": 1}', "unknown keys: by, saw"),
        ('{"saw": "d.u1.u2"}', "must be an array"),
        ('{"saw": ["d.u1.u2", 1]}', "must have 3 values, it has 2"),
        ('{"saw": ["d.u2.u1", 1, "0123456789abcdef-"]}', "'d.u2.u1' is no conversation id"),
        ('{"saw": ["d.u1.u2", 0, "0123456789abcdef-"]}', "seq 0 is no whole number from 1 on"),
        ('{"saw": ["d.u1.u2", true, "0123456789abcdef-"]}', "seq True is no whole number"),
        ('{"saw": ["d.u1.u2", 1.0, "0123456789abcdef-"]}', "seq 1.0 is no whole number"),
        ('{"saw": ["d.u1.u2", 99999999999999999999, "0123456789abcdef-"]}', "is no whole number"),
        ('{"saw": ["d.u1.u2", 1, "0123456789abcde-"]}', "is no digest"),
        ('{"saw": ["d.u1.u2", 1, "0123456789ABCDEF-"]}', "is no digest"),
        ('{"saw": ["g8", 1, "0123456789abcdef-"]}', "speaks of g8 without a `from`"),
        ('{"left": ["g8", 1]}', "speaks of g8 without a `from`"),
        ('{"from": ["d.u1.u2", -1]}', "seq -1 is no whole number from 0 on"),
        ('{"sent": ["d.u1.u2", 1, 5, "m5.1"]}', "the client message id 5 is no text"),
        ('{"sent": ["d.u1.u2", 1, "x", "5.1"]}', "'5.1' is no message id"),
        ('{"problem": "rain", "conversation": "", "seq": 0, "text": ""}', "problem 'rain' is unknown"),
        ('{"problem": "hole", "conversation": "", "seq": 0}', "it must have the keys"),
        (_but(ledger=2), "the ledger has version 2, this Stonechat reads version 1"),
        (_but(ledger=True), "has version True"),
        (_but(user="alice"), "user 'alice' is no user id"),
        (_but(user="u2"), "a session of u2 in a ledger of u1"),
        (_but(at="yesterday"), "at 'yesterday' is no time in UTC"),
        (_but(at="2026-01-02T03:04:05"), "is no time in UTC"),
        (_but(at="2026-01-02T03:04:05+01:00"), "is no time in UTC"),
        (_but(at=5), "is no time in UTC"),
        (_but(at=None), "it must have the keys at, device, ledger, user"),
        (_but(mood="good"), "it must have the keys"),
    ],
)
def test_what_is_malformed_is_refused_with_its_place(line, what):
    with pytest.raises(LedgerError) as refused:
        read(BEGAN, FROM, line, SAW)
    assert refused.value.message.startswith("some.ledger:3: ")
    assert what in refused.value.message


def test_a_newer_version_is_refused_even_as_the_last_line():
    with pytest.raises(LedgerError, match=r"some\.ledger:1: the ledger has version 2"):
        read(_but(ledger=2), end="")


def test_a_ledger_begins_with_its_session():
    with pytest.raises(LedgerError, match=r"some\.ledger:1: it must begin with"):
        read(FROM)


def test_what_was_left_is_not_followed_any_more():
    with pytest.raises(LedgerError, match=r"some\.ledger:4: it speaks of d\.u1\.u2 without"):
        read(BEGAN, FROM, '{"left": ["d.u1.u2", 0]}', SAW)


def test_a_new_session_follows_nothing_yet():
    with pytest.raises(LedgerError, match=r"some\.ledger:4: it speaks of d\.u1\.u2 without"):
        read(BEGAN, FROM, BEGAN, SAW)
