"""What clients wrote down is held against what is stored: each way to break a promise to them is found and named."""

import re

import pytest

from stonechat_client.digest import content_digest
from svc.backends.messages_schema import WITHDRAWN
from tests.verify.judge import found, judged
from tests.verify.test_store import SENT_AGAIN, D, _spoil
from tests.verify.town import DIRECT, GROUP, U1, U2, U3, U4

GONE = content_digest("", "")
OTHER = "0123456789abcdef"


def saw(seq: int, name: str = DIRECT) -> str:
    return f'{{"saw":["{name}",{seq},'


def sent(seq: int, name: str = DIRECT) -> str:
    return f'{{"sent":["{name}",{seq},'


def test_what_was_acknowledged_and_seen_and_is_stored_no_more_is_lost(town):
    town.sql(f"DELETE FROM events WHERE {D} AND seq = 11", f"DELETE FROM idempotency_keys WHERE {D} AND seq = 11")
    verdict = judged(town)
    assert found(verdict) == [("lost", DIRECT, 11)] * 3
    assert sum("was acknowledged and is not stored" in one.text for one in verdict.findings) == 1
    assert {one.ledger.rpartition("/")[2].partition(".")[0] for one in verdict.findings} == {U1, U2}


@pytest.mark.parametrize(
    ("old", "new"), [(r"key-(\d+)", "key-1"), (r"m(\d+)\.1\b", "m1.1")], ids=["client message id", "message id"]
)
def test_what_was_acknowledged_as_something_else_is_lost(town, old, new):
    line = town.line(U1, sent(1))
    town.edit(U1, (line, re.sub(old, new, line)))
    verdict = judged(town)
    assert found(verdict) == [("lost", DIRECT, 1)]
    assert verdict.findings[0].ledger.endswith(f"u1.ledger:{_number(town, U1, sent(1))}")


def test_what_was_acknowledged_to_another_is_lost(town):
    town.edit(U1, (town.line(U1, sent(1)), ""))
    line = town.line(U2, saw(2))
    town.edit(U2, (line, line + sent(1) + f'"{_key(town, 1)}","{_name(town, 1)}"]}}\n'))
    assert found(judged(town)) == [("lost", DIRECT, 1)]


def test_what_was_acknowledged_and_turns_out_unprocessable_is_lost(town):
    town.sql(f"UPDATE events SET kind = 21, lane = 1, ordinal = 0, body = x'' WHERE {D} AND seq = 1")
    assert ("lost", DIRECT, 1) in found(judged(town))


def test_another_event_seen_at_a_place_is_reordered(town):
    line = town.line(U2, saw(2))
    town.edit(U2, (line, re.sub(r'"[0-9a-f]{16}-', f'"{OTHER}-', line)))
    assert found(judged(town)) == [("reordered", DIRECT, 2)]


@pytest.mark.parametrize("seq", [1, 7])
def test_another_text_seen_is_reordered(town, seq):
    """Of a message that nobody changed, and of an edit, even of something withdrawn."""
    line = town.line(U2, saw(seq))
    town.edit(U2, (line, re.sub(r'-[0-9a-f]{16}"', f'-{OTHER}"', line)))
    assert found(judged(town)) == [("reordered", DIRECT, seq)]


@pytest.mark.parametrize("seq", [3, 6])
def test_a_text_that_was_edited_away_must_be_the_same_for_all_who_saw_it(town, seq):
    line = town.line(U2, saw(seq))
    town.edit(U2, (line, re.sub(r'-[0-9a-f]{16}"', f'-{OTHER}"', line)))
    verdict = judged(town)
    assert found(verdict) == [("reordered", DIRECT, seq)]
    assert "u1.ledger" in verdict.findings[0].text + verdict.findings[0].ledger


@pytest.mark.parametrize(("seq", "content"), [(3, "fisrt"), (3, "first"), (6, "secret indeed"), (6, None), (7, None)])
def test_a_client_may_see_a_message_as_it_was_after_any_of_its_changes(town, seq, content):
    newer = GONE if content is None else content_digest("text", content)
    line = town.line(U2, saw(seq))
    town.edit(U2, (line, re.sub(r'-[0-9a-f]{16}"', f'-{newer}"', line)))
    assert found(judged(town)) == []


def test_no_message_is_seen_withdrawn_that_was_not(town):
    line = town.line(U2, saw(3))
    town.edit(U2, (line, re.sub(r'-[0-9a-f]{16}"', f'-{GONE}"', line)))
    assert town.value(f"SELECT body_version < {WITHDRAWN} FROM events WHERE {D} AND seq = 3")
    assert found(judged(town)) == [("reordered", DIRECT, 3)]


def test_what_is_handed_over_twice_in_a_session_is_doubled(town):
    line = town.line(U2, saw(5))
    town.edit(U2, (line, line * 2))
    assert found(judged(town)) == [("doubled", DIRECT, 5)]


def test_what_another_session_hands_over_again_is_not(town):
    again = town.ledger(U2).read_text()
    town.ledger(U2).write_text(again * 2)
    assert found(judged(town)) == []


def test_a_session_may_be_acknowledged_something_before_it_follows(town):
    """What waited in a queue is sent as soon as there is a connection."""
    whole = town.ledger(U1).read_text()
    town.ledger(U1).write_text(whole + _session(U1) + town.line(U1, sent(1)) + whole.partition("\n")[2])
    assert found(judged(town)) == []


def test_a_hole_counts_once_whatever_follows_it(town):
    town.edit(U1, (town.line(U1, saw(4)), ""))
    town.ledger(U1).write_text(town.ledger(U1).read_text() + _session(U1) + town.line(U1, sent(1)))
    for settled in (True, False):
        verdict = judged(town, settled=settled)
        assert found(verdict) == [("lost", DIRECT, 4)]
        assert verdict.counts["lost"] == 1


def test_a_hole_is_lost_and_each_event_in_it_counts(town):
    town.edit(U2, (town.line(U2, saw(4)), ""), (town.line(U2, saw(5)), ""))
    for settled in (True, False):
        verdict = judged(town, settled=settled)
        assert found(verdict) == [("lost", DIRECT, 4)]
        assert verdict.counts["lost"] == 2


def test_a_hole_that_a_later_session_does_not_fill_is_lost(town):
    town.edit(U2, (town.line(U2, saw(4)), ""))
    town.ledger(U2).write_text(town.ledger(U2).read_text() + _session(U2) + _from(DIRECT, 11))
    assert found(judged(town)) == [("lost", DIRECT, 4)]


def test_what_is_handed_over_late_is_reordered(town):
    early, late = town.line(U2, saw(4)), town.line(U2, saw(5))
    town.edit(U2, (early, ""), (late, late + early))
    assert found(judged(town)) == [("reordered", DIRECT, 4)]


def test_what_is_handed_over_below_the_beginning_is_reordered(town):
    town.edit(U2, (_from(DIRECT, 0), _from(DIRECT, 2)), (town.line(U2, saw(2)), ""))
    assert found(judged(town)) == [("reordered", DIRECT, 1)]


def test_who_has_not_come_to_the_end_when_all_is_quiet_has_lost_the_rest(town):
    town.edit(U2, (town.line(U2, saw(10)), ""), (town.line(U2, saw(11)), ""))
    assert found(judged(town, settled=False)) == []
    verdict = judged(town)
    assert found(verdict) == [("lost", DIRECT, 10)]
    assert verdict.counts["lost"] == 2


def test_who_is_in_a_conversation_and_never_heard_of_it_has_lost_it(town):
    town.edit(U4, (_from(GROUP, 5), ""), (town.line(U4, saw(6, GROUP)), ""), (town.line(U4, saw(7, GROUP)), ""))
    town.edit(U4, (town.line(U4, sent(7, GROUP)), ""))
    assert found(judged(town, settled=False)) == []
    verdict = judged(town)
    assert found(verdict) == [("lost", GROUP, 6)]
    assert verdict.counts["lost"] == 2


def test_an_inbox_and_a_direct_conversation_count_as_well(town):
    text = town.ledger(U1).read_text().splitlines(keepends=True)
    town.ledger(U1).write_text("".join(line for line in text if GROUP in line or line.startswith('{"ledger"')))
    verdict = judged(town)
    assert found(verdict) == [("lost", DIRECT, 1), ("lost", "inbox.u1", 1)]
    assert verdict.counts["lost"] == 11 + len(town.pushed["inbox.u1"])


def test_conversations_from_before_the_ledger_are_history(town):
    town.edit(U4, (_from(GROUP, 5), ""), (town.line(U4, saw(6, GROUP)), ""), (town.line(U4, saw(7, GROUP)), ""))
    town.edit(U4, (town.line(U4, sent(7, GROUP)), ""), ("2024-01-01T00:00:00Z", "2099-01-01T00:00:00Z"))
    assert found(judged(town)) == []


def test_who_was_removed_must_have_seen_that_and_no_more(town):
    assert found(judged(town)) == []
    town.edit(U3, (town.line(U3, saw(4, GROUP)), ""))
    assert found(judged(town)) == [("lost", GROUP, 4)]
    town.edit(U3, (f'{{"left":["{GROUP}",4]}}\n', ""))
    assert found(judged(town)) == [("lost", GROUP, 4)]
    assert found(judged(town, settled=False)) == []


def test_who_was_told_that_it_is_gone_and_is_part_of_it_has_lost_the_rest(town):
    line = town.line(U2, saw(9))
    town.edit(
        U2, (town.line(U2, saw(10)), ""), (town.line(U2, saw(11)), ""), (line, line + f'{{"left":["{DIRECT}",9]}}\n')
    )
    assert found(judged(town, settled=False)) == []
    assert found(judged(town)) == [("lost", DIRECT, 10)]


def test_who_left_must_have_seen_all_up_to_there(town):
    town.edit(U3, (town.line(U3, saw(4, GROUP)), ""), (town.line(U3, saw(2, GROUP)), ""))
    verdict = judged(town, settled=False)
    assert found(verdict) == [("lost", GROUP, 2)]
    assert verdict.counts["lost"] == 2


def test_nobody_may_pass_over_events_within_a_session(town):
    town.edit(U2, (town.line(U2, saw(4)), _from(DIRECT, 4)))
    assert found(judged(town)) == [("lost", DIRECT, 4)]


def test_saying_again_what_is_followed_changes_nothing(town):
    line = town.line(U2, saw(4))
    town.edit(U2, (line, line + _from(DIRECT, 4) + _from(DIRECT, 0)))
    assert found(judged(town)) == []


def test_a_client_that_had_more_than_is_stored_has_lost_it(town):
    town.ledger(U2).write_text(town.ledger(U2).read_text() + _session(U2) + _from(DIRECT, 14))
    verdict = judged(town)
    assert found(verdict) == [("lost", DIRECT, 14)]
    assert verdict.counts["lost"] == 3


def test_one_send_that_was_acknowledged_at_two_places_is_doubled(town):
    _spoil(town, SENT_AGAIN)
    key, name = _key(town, 1), _name(town, 2)
    town.ledger(U1).write_text(town.ledger(U1).read_text() + _session(U1) + f'{sent(2)}"{key}","{name}"]}}\n')
    town.ledger(U2).unlink()
    told = [one for one in judged(town, settled=False).findings if "was acknowledged here, and at 1" in one.text]
    assert [(one.fault, one.seq) for one in told] == [("doubled", 2)]


def test_a_repeat_that_was_acknowledged_again_is_none(town):
    line = town.line(U1, sent(1))
    town.edit(U1, (line, line * 2))
    assert found(judged(town)) == []


def test_problems_that_clients_noticed_are_counted_by_kind(town):
    told = '{"problem":"hole","conversation":"d.u1.u2","seq":4,"text":"4 was passed over"}\n'
    town.ledger(U2).write_text(town.ledger(U2).read_text() + told * 2 + told.replace("hole", "garbage"))
    verdict = judged(town)
    assert found(verdict) == [("problems", DIRECT, 4)] * 3
    assert verdict.problems == {"hole": 2, "garbage": 1}
    assert not verdict.clean


def test_a_ledger_of_a_conversation_that_is_not_stored_at_all(town):
    town.ledger(U2).write_text(town.ledger(U2).read_text() + _from("g99", 0) + f'{{"saw":["g99",1,"{OTHER}-"]}}\n')
    assert found(judged(town, settled=False)) == [("lost", "g99", 1)]


def _from(name: str, seq: int) -> str:
    return f'{{"from":["{name}",{seq}]}}\n'


def _session(user: str) -> str:
    return f'{{"ledger":1,"user":"{user}","device":"v9","at":"2026-01-01T00:00:00.5Z"}}\n'


def _key(town, seq):
    return town.value(f"SELECT client_message_id FROM events WHERE {D} AND seq = {seq}")


def _name(town, seq):
    return town.value(f"SELECT 'm' || record_id || '.' || seq FROM events WHERE {D} AND seq = {seq}")


def _number(town, user, start):
    lines = town.ledger(user).read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.startswith(start))
