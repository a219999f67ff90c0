"""A node's clock that differs from the log's is told, once for each change."""

import logging

import pytest

from svc.kernel import telemetry
from svc.messaging.skew import SkewWatch


@pytest.mark.parametrize(
    ("event_us", "seconds"),
    [(1_500_000, 0.0), (1_000_000, 0.0), (2_000_000, 0.0), (400_000, -0.6), (5_000_000, 3.0)],
)
def test_only_times_outside_of_accept_and_answer_are_skew(event_us: int, seconds: float):
    """Between acceptance and answer the log's time may be anything; beyond, the difference is the skew."""
    SkewWatch().observe(1_000_000, event_us, 2_000_000)
    assert telemetry.CLOCK_SKEW._value.get() == pytest.approx(seconds)


def test_the_alarm_is_told_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture):
    """One line for each transition, however many messages show it."""
    watch = SkewWatch()
    with caplog.at_level(logging.WARNING):
        for event_us in (9_000_000, 9_500_000, 1_500_000, 1_500_000):
            watch.observe(1_000_000, event_us, 2_000_000)
    assert [record.message for record in caplog.records] == [
        "this node's clock differs from the log's",
        "this node's clock is right again",
    ]
