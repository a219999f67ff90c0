"""The ledger notices each kind of broken promise; else a clean verdict would mean nothing."""

from dataclasses import replace

import pytest

from tests.faults.ledger import Acknowledged, Ledger, Stored, check

TALK = "d.u1.u2"
MEMBERS = {TALK: ("u1", "u2")}


def _events() -> list[Stored]:
    return [Stored(TALK, n, 1000 + n, "u1", f"id{n}", f"m{n}.{n}", f"text {n}", f"digest {n}") for n in (1, 2, 3)]


def _ledgers() -> list[Ledger]:
    sender, reader = Ledger("u1"), Ledger("u2")
    for event in _events():
        sender.acknowledged.append(
            Acknowledged(TALK, event.client_message_id, event.message_id, event.seq, event.content)
        )
        sender.pulled[TALK, event.seq] = reader.pushed[TALK, event.seq] = event.digest
    return [sender, reader]


def test_a_run_that_kept_its_promises_is_clean():
    verdict = check(_ledgers(), {TALK: _events()}, MEMBERS)
    assert verdict.clean
    assert str(verdict) == "lost 0 doubled 0 reordered 0"


def test_an_acknowledged_message_that_is_not_stored_is_lost():
    ledgers = _ledgers()
    verdict = check(ledgers, {TALK: _events()[:2]}, MEMBERS)
    assert any("was acknowledged" in line for line in verdict.lost)
    assert any("which is not stored" in line for line in verdict.lost)


@pytest.mark.parametrize(
    "change", [{"content": "other"}, {"message_id": "m9.2"}, {"client_message_id": "x"}, {"sender_id": "u2"}]
)
def test_an_acknowledged_message_that_is_stored_as_something_else_is_lost(change):
    events = _events()
    events[1] = replace(events[1], **change)
    assert len(check(_ledgers(), {TALK: events}, MEMBERS).lost) == 1


def test_what_a_member_neither_was_pushed_nor_pulled_is_lost():
    ledgers = _ledgers()
    del ledgers[1].pushed[TALK, 2]
    assert check(ledgers, {TALK: _events()}, MEMBERS).lost == ["u2 never saw d.u1.u2 2"]


def test_one_key_on_two_events_is_doubled():
    events = [*_events(), replace(_events()[0], seq=4, time_us=2000, digest="digest 4")]
    assert len(check([], {TALK: events}, MEMBERS).doubled) == 1


def test_a_hole_is_reordered():
    events = _events()
    assert check([], {TALK: [events[0], events[2]]}, {}).reordered


def test_a_time_that_does_not_grow_is_reordered():
    events = _events()
    events[2] = replace(events[2], time_us=events[1].time_us)
    assert len(check([], {TALK: events}, {}).reordered) == 1


def test_a_later_send_before_an_earlier_one_is_reordered():
    ledgers = _ledgers()
    ledgers[0].acknowledged.reverse()
    assert len(check(ledgers, {TALK: _events()}, MEMBERS).reordered) == 2


def test_another_event_seen_at_a_place_is_reordered():
    ledgers = _ledgers()
    ledgers[1].pushed[TALK, 2] = "something else"
    assert len(check(ledgers, {TALK: _events()}, MEMBERS).reordered) == 1


def test_what_a_stream_may_never_do_is_told():
    ledgers = _ledgers()
    ledgers[0].faults.append("pushed twice")
    verdict = check(ledgers, {TALK: _events()}, MEMBERS)
    assert not verdict.clean
    assert "pushed twice" in str(verdict)
