"""A back end that does not answer is left alone, and asked again by one call at a time."""

import logging

import pytest

from svc.backends.breaker import FAILURES, PROBE_SECONDS, Breaker
from svc.kernel.errors import Unavailable
from tests.fakes import FakeClock


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.admit()
        breaker.failed("no answer")


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not():
    """One slow call is nothing."""
    breaker = Breaker("store", FakeClock())
    fail(breaker, FAILURES - 1)
    breaker.answered()
    fail(breaker, FAILURES - 1)
    breaker.admit()
    breaker.failed("no answer")
    with pytest.raises(Unavailable, match="store does not answer: no answer"):
        breaker.admit()


def test_one_call_at_a_time_finds_out_whether_it_answers_again():
    """A probe that fails lets nobody through but the next probe; one that is answered lets all through."""
    clock = FakeClock()
    breaker = Breaker("store", clock)
    fail(breaker, FAILURES)
    for _ in range(3):
        clock.advance(PROBE_SECONDS)
        breaker.admit()
        with pytest.raises(Unavailable):
            breaker.admit()
        breaker.failed("still none")
    clock.advance(PROBE_SECONDS)
    breaker.admit()
    breaker.answered()
    for _ in range(10):
        breaker.admit()


def test_a_probe_that_never_ends_is_followed_by_another():
    """Who made it may have been cancelled."""
    clock = FakeClock()
    breaker = Breaker("store", clock)
    fail(breaker, FAILURES)
    clock.advance(PROBE_SECONDS)
    breaker.admit()
    clock.advance(PROBE_SECONDS)
    breaker.admit()


def test_one_line_says_when_it_begins_and_one_when_it_ends(caplog: pytest.LogCaptureFixture):
    """However many calls fail meanwhile."""
    clock = FakeClock()
    breaker = Breaker("store", clock)
    with caplog.at_level(logging.INFO):
        fail(breaker, FAILURES)
        for _ in range(20):
            breaker.failed("was under way")
            clock.advance(PROBE_SECONDS)
            breaker.admit()
        breaker.answered()
        breaker.answered()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
