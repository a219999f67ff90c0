"""A history that the real owner made, and ledgers that the client library wrote, are clean; and everything was looked at."""

from tests.verify.judge import found
from tests.verify.town import DIRECT, GROUP


def test_a_history_that_kept_its_promises_is_clean(town, judged):
    verdict = judged(town)
    assert found(verdict) == []
    assert verdict.clean
    events = sum(map(len, town.pushed.values()))
    lines = [line for path in town.ledgers.iterdir() for line in path.read_text().splitlines()]
    assert verdict.totals() == {
        "conversations": len(town.pushed),
        "events": events,
        "ledgers": 4,
        "acknowledged": sum(line.startswith('{"sent"') for line in lines),
        "seen": sum(line.startswith('{"saw"') for line in lines),
    }
    assert verdict.acknowledged > 10
    assert {DIRECT, GROUP, "inbox.u1", "inbox.u4"} <= town.pushed.keys()
