"""Each way in which a store can contradict itself is found, exactly once where it is one thing, and named."""

import sqlite3

import pytest

from stonechat.messaging.v1.conversation_event_pb2 import Message
from svc.backends.messages_schema import WITHDRAWN
from tests.verify.judge import found
from tests.verify.town import DIRECT, GROUP, U1, U2

D = f"conversation_id = '{DIRECT}'"
G = f"conversation_id = '{GROUP}'"
KEYS = "idempotency_keys"
LISTS = "conversations_by_user"
HOUR_US = 3600 * 1_000_000


def _text(content: str) -> str:
    return f"x'{Message(type='text', content=content).SerializeToString().hex()}'"


def _both(change: str, where: str) -> list[str]:
    """An owner that is wrong writes the same into the event row and the key row."""
    return [f"UPDATE {table} SET {change} WHERE {where}" for table in ("events", KEYS)]


def _of(column: str, seq: int, name: str = DIRECT) -> str:
    return f"(SELECT {column} FROM events WHERE conversation_id = '{name}' AND seq = {seq})"


# Another event of the key of the first, as an owner stores it that does not know the key any more.
SENT_AGAIN = [
    f"DELETE FROM {KEYS} WHERE {D} AND seq = 2",
    f"UPDATE events SET sender_id = '{U1}', client_message_id = {_of('client_message_id', 1)} WHERE {D} AND seq = 2",
    f"UPDATE {KEYS} SET (seq, record_id, era, offset, time_us) = {_of('seq, record_id, era, offset, time_us', 2)},"
    f" digest = (SELECT digest FROM kept) WHERE {D} AND seq = 1",
    f"UPDATE events SET body = {_of('body', 1)} WHERE {D} AND seq = 2",
]

# name: (statements, findings)
SPOILED: dict[str, tuple[list[str], list[tuple[str, str, int]]]] = {
    "an event is gone": (
        [f"DELETE FROM events WHERE {D} AND seq = 2", f"DELETE FROM {KEYS} WHERE {D} AND seq = 2"],
        [("lost", DIRECT, 2)],
    ),
    "events are gone and their key rows are left": (
        [f"DELETE FROM events WHERE {D} AND seq >= 9"],
        [("lost", DIRECT, 9), ("lost", DIRECT, 11)],
    ),
    "a conversation is gone, lists know it": (
        [f"DELETE FROM events WHERE {G}", f"DELETE FROM {KEYS} WHERE {G}"],
        [("wrong", GROUP, 0)] * 4,
    ),
    "numbers begin at 3": (
        [f"DELETE FROM events WHERE {D} AND seq <= 2", f"DELETE FROM {KEYS} WHERE {D} AND seq <= 2"],
        [("lost", DIRECT, 1), ("wrong", DIRECT, 9), ("wrong", DIRECT, 0), ("wrong", DIRECT, 0)],
    ),
    "a number was given twice": (
        [
            "INSERT INTO events SELECT conversation_id, 1, 2, 22, sender_id, record_id + (1 << 40), 'other', time_us + 1,"
            f" ordinal, version, era, offset + 1, 0, x'', 2 FROM events WHERE {D} AND seq = 2"
        ],
        [("doubled", DIRECT, 2), ("wrong", DIRECT, 2), ("wrong", DIRECT, 2)],
    ),
    "time stands still": (_both(f"time_us = {_of('time_us', 1)}", f"{D} AND seq = 2"), [("reordered", DIRECT, 2)]),
    "time goes back": (_both(f"time_us = {_of('time_us', 1)} - 1", f"{D} AND seq = 2"), [("reordered", DIRECT, 2)]),
    "a record stands where the one before stood": (
        _both(f"offset = {_of('offset', 1)}", f"{D} AND seq = 2"),
        [("reordered", DIRECT, 2)],
    ),
    "an era goes back": (_both("era = 0", f"{D} AND seq = 11"), [("reordered", DIRECT, 11)]),
    "an ordinal passes over one": (
        [f"UPDATE events SET ordinal = ordinal + 1 WHERE {D} AND seq >= 6"],
        [("wrong", DIRECT, 6)],
    ),
    "a membership version goes back": (
        [f"UPDATE events SET version = 1 WHERE {G} AND seq = 5"],
        [("reordered", GROUP, 5)],
    ),
    "a membership change has the version of the one before": (
        [f"UPDATE events SET version = 1 WHERE {G} AND seq IN (4, 5)"],
        [("reordered", GROUP, 4), ("wrong", GROUP, 4), ("wrong", GROUP, 4)],
    ),
    "an event has the number 0": (
        [f"UPDATE events SET seq = 0 WHERE {D} AND seq = 1"],
        [
            ("reordered", DIRECT, 0),
            ("wrong", DIRECT, 0),
            ("lost", DIRECT, 1),
            ("wrong", DIRECT, 9),
            ("lost", DIRECT, 1),
            ("wrong", DIRECT, 0),
            ("wrong", DIRECT, 0),
        ],
    ),
    "a version is ahead of its change": (
        [f"UPDATE events SET version = 3 WHERE {G} AND seq = 5"],
        [("wrong", GROUP, 5), ("reordered", GROUP, 6)],
    ),
    "a message stands in the lane of changes": (
        [f"UPDATE events SET lane = 1 WHERE {D} AND seq = 2"],
        [("wrong", DIRECT, 2)],
    ),
    "one key has two events": (SENT_AGAIN, [("doubled", DIRECT, 2)]),
    "one record has two events": (
        _both(f"record_id = {_of('record_id', 2)}", f"{D} AND seq = 11"),
        [("doubled", DIRECT, 11)],
    ),
    "a key row is gone": ([f"DELETE FROM {KEYS} WHERE {D} AND seq = 1"], [("wrong", DIRECT, 1)]),
    "a key row names another event": (
        [f"UPDATE {KEYS} SET seq = 2 WHERE {D} AND seq = 1"],
        [("wrong", DIRECT, 2)],
    ),
    "a key row names an earlier event": (
        [f"UPDATE {KEYS} SET seq = 1 WHERE {D} AND seq = 11"],
        [("wrong", DIRECT, 11), ("wrong", DIRECT, 1)],
    ),
    "a key row answers with another record": (
        [f"UPDATE {KEYS} SET record_id = record_id + 1 WHERE {D} AND seq = 1"],
        [("wrong", DIRECT, 1)],
    ),
    "a key row has another time": (
        [f"UPDATE {KEYS} SET time_us = time_us + 1 WHERE {D} AND seq = 1"],
        [("wrong", DIRECT, 1)],
    ),
    "a key row has another position": (
        [f"UPDATE {KEYS} SET offset = offset + 1 WHERE {D} AND seq = 1"],
        [("wrong", DIRECT, 1)],
    ),
    "a text is not what was asked": (
        [f"UPDATE events SET body = {_text('hullo')} WHERE {D} AND seq = 1"],
        [("wrong", DIRECT, 1)],
    ),
    "a body cannot be read": (
        [f"UPDATE events SET body = x'ff' WHERE {D} AND seq = 1"],
        [("wrong", DIRECT, 1)],
    ),
    "edits did nothing": (
        [f"UPDATE events SET body = {_text('frist')}, body_version = 3 WHERE {D} AND seq = 3"],
        [("wrong", DIRECT, 4), ("wrong", DIRECT, 5)],
    ),
    "the last edit did nothing": (
        [f"UPDATE events SET body = {_text('fisrt')}, body_version = 4 WHERE {D} AND seq = 3"],
        [("wrong", DIRECT, 5)],
    ),
    "an edit gave another text": (
        [f"UPDATE events SET body = {_text('last')} WHERE {D} AND seq = 3"],
        [("wrong", DIRECT, 5)],
    ),
    "content outlives its withdrawal": (
        [f"UPDATE events SET body = {_text('secret')} WHERE {D} AND seq = 6"],
        [("wrong", DIRECT, 6), ("wrong", DIRECT, 8)],
    ),
    "a withdrawal did nothing": (
        [f"UPDATE events SET body = {_text('secret indeed')}, body_version = 7 WHERE {D} AND seq = 6"],
        [("wrong", DIRECT, 8)],
    ),
    "a withdrawal is not final": (
        [f"UPDATE events SET body_version = 8 WHERE {D} AND seq = 6"],
        [("wrong", DIRECT, 6), ("wrong", DIRECT, 8)],
    ),
    "a reaction changed a message": (
        [f"UPDATE events SET body_version = 9 WHERE {D} AND seq = 1"],
        [("wrong", DIRECT, 1)],
    ),
    "a message was changed by nothing": (
        [f"UPDATE events SET body = x'', body_version = {WITHDRAWN + 99} WHERE {D} AND seq = 1"],
        [("wrong", DIRECT, 1)],
    ),
    "a change was changed": (
        [f"UPDATE events SET body_version = 11 WHERE {D} AND seq = 9"],
        [("wrong", DIRECT, 9)],
    ),
    "a membership change was changed": (
        [f"UPDATE events SET body_version = 5 WHERE {G} AND seq = 4"],
        [("wrong", GROUP, 4)],
    ),
    "a change names another message than it says": (
        [f"UPDATE events SET target_seq = 2 WHERE {D} AND seq = 9"],
        [("wrong", DIRECT, 9), ("wrong", DIRECT, 9)],
    ),
    "a change names a change": (
        [f"UPDATE events SET target_seq = 8 WHERE {D} AND seq = 9"],
        [("wrong", DIRECT, 9), ("wrong", DIRECT, 9)],
    ),
    "somebody edits what another wrote": (
        _both(f"sender_id = '{U2}'", f"{D} AND seq = 4"),
        [("wrong", DIRECT, 4)],
    ),
    "a message names another": (
        [f"UPDATE events SET target_seq = 1 WHERE {D} AND seq = 2"],
        [("wrong", DIRECT, 2), ("wrong", DIRECT, 2)],
    ),
    "a conversation is missing in a list": (
        [f"DELETE FROM {LISTS} WHERE {D} AND user_id = '{U1}'"],
        [("wrong", DIRECT, 1)],
    ),
    "a list has a former member": (
        [f"UPDATE {LISTS} SET member = 1 WHERE {G} AND user_id = 'u3'"],
        [("wrong", GROUP, 4)],
    ),
    "a list lags behind": (
        [f"UPDATE {LISTS} SET member = 1, version = 1, seq = 1 WHERE {G} AND user_id = 'u3'"],
        [("wrong", GROUP, 4)],
    ),
    "a list has what its user never was part of": (
        [f"INSERT INTO {LISTS} VALUES ('u9', '{DIRECT}', 0, 1, 1)"],
        [("wrong", DIRECT, 0)],
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_it_is_found(town, judged, name):
    statements, expected = SPOILED[name]
    _spoil(town, statements)
    verdict = judged(town, with_ledgers=False)
    assert found(verdict) == expected
    assert not verdict.clean


def test_a_key_may_be_used_again_after_a_day(town, judged):
    town.sql(
        *(f"UPDATE {table} SET time_us = time_us + {25 * HOUR_US} WHERE {D} AND seq >= 2" for table in ("events", KEYS))
    )
    assert found(judged(town, with_ledgers=False)) == []
    _spoil(town, SENT_AGAIN)
    assert found(judged(town, with_ledgers=False)) == []


def test_key_rows_are_not_missed_once_they_may_be_removed(town, judged):
    town.sql(f"UPDATE events SET time_us = time_us - {9 * 24 * HOUR_US}", f"DELETE FROM {KEYS}")
    assert found(judged(town, with_ledgers=False)) == []
    town.sql(f"UPDATE events SET time_us = time_us + {2 * 24 * HOUR_US}")
    assert ("wrong", DIRECT, 1) in found(judged(town, with_ledgers=False))


def test_a_kind_that_is_newer_than_this_program_is_no_finding(town, judged):
    town.sql(f"UPDATE events SET kind = 99 WHERE {D} AND seq = 9")
    assert found(judged(town, with_ledgers=False)) == []
    town.sql(f"UPDATE events SET ordinal = ordinal + 1 WHERE {D} AND seq = 9")
    assert found(judged(town, with_ledgers=False)) == [("wrong", DIRECT, 9), ("wrong", DIRECT, 10)]


def test_each_missing_event_counts(town, judged):
    town.sql(
        f"DELETE FROM events WHERE {D} AND seq BETWEEN 2 AND 4", f"DELETE FROM {KEYS} WHERE {D} AND seq BETWEEN 2 AND 4"
    )
    verdict = judged(town, with_ledgers=False)
    assert verdict.counts["lost"] == 3
    assert verdict.findings[0].text == "it and all up to 4 are not stored"


def _spoil(town, statements):
    with sqlite3.connect(town.data / "messages.sqlite") as connection:
        connection.execute(
            "CREATE TEMP TABLE kept AS SELECT digest FROM idempotency_keys WHERE conversation_id = ? AND seq = 1",
            (DIRECT,),
        )
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
    connection.close()
