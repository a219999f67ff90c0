"""Requests that wait for the owner's verdict (protocol S9)."""

import pytest

from svc.kernel.errors import Expired, IdempotencyConflict, NotFound, OutcomeUnknown, StonechatError, Unprocessable
from svc.kernel.record import Kind, Record
from svc.kernel.relay import Answer, Outcome, Unanswered
from svc.messaging.requests import Request, Requests

Told = list[Answer | StonechatError]


def not_moved(record: Record) -> None:
    raise AssertionError(f"{record} was not answered MOVED")


def waiting(requests: Requests, deadline: float = 10.0) -> tuple[int, Told]:
    """A request that waits, and what it was told."""
    number, told = requests.next_id(), Told()
    record = Record(Kind.MESSAGE, "g1", "u1", f"c{number}", 40 + number, b"", node="n", request_id=number)
    requests.add(Request(record, deadline, told.append))
    return number, told


@pytest.mark.parametrize("outcome", [Outcome.STORED, Outcome.REPEAT])
def test_an_answer_is_told_once(outcome: Outcome) -> None:
    """The first counts; what comes again on another stream is ignored."""
    requests = Requests(not_moved)
    number, told = waiting(requests)
    answer = Answer(number, outcome, 3, 4, 5)
    requests.resolve(answer)
    requests.resolve(Answer(number, Outcome.EXPIRED, 0, 0, 0))
    assert told == [answer]
    assert len(requests) == 0


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Outcome.CONFLICT, IdempotencyConflict),
        (Outcome.EXPIRED, Expired),
        (Outcome.UNPROCESSABLE, Unprocessable),
        (Outcome.NO_TARGET, NotFound),
        (Outcome.STALE, NotFound),
    ],
)
def test_a_refusal_says_why(outcome: Outcome, error: type[StonechatError]) -> None:
    """Each refusal is an error of its own."""
    requests = Requests(not_moved)
    number, told = waiting(requests)
    requests.resolve(Answer(number, outcome, 0, 0, 0))
    assert [type(it) for it in told] == [error]


def test_a_record_that_was_moved_waits_on() -> None:
    """It is appended again by the new map; nobody is told anything yet."""
    moved: list[Record] = []
    requests = Requests(moved.append)
    number, told = waiting(requests)
    requests.resolve(Answer(number, Outcome.MOVED, 0, 0, 0))
    requests.resolve(Answer(number + 1, Outcome.MOVED, 0, 0, 0))
    assert told == []
    assert len(requests) == 1
    assert [record.request_id for record in moved] == [number]
    assert requests.waits(moved[0])


def test_what_waits_too_long_is_unknown() -> None:
    """Only that: a repeat with the same id tells. The others wait on."""
    requests = Requests(not_moved)
    _, early = waiting(requests, deadline=1.0)
    _, late = waiting(requests, deadline=2.0)
    requests.expire(1.0)
    assert [type(it) for it in early] == [OutcomeUnknown]
    assert late == []


def test_a_new_stream_is_told_what_waits() -> None:
    """Everything that the owner needs to find the answer, in the order in which it was asked."""
    requests = Requests(not_moved)
    first, _ = waiting(requests)
    second, _ = waiting(requests)
    requests.fail([first], OutcomeUnknown("gone"))
    third, _ = waiting(requests)
    assert requests.unanswered() == [
        Unanswered(number, "g1", "u1", f"c{number}", 40 + number) for number in (second, third)
    ]
    assert len({first, second, third}) == 3
