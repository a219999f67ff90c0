"""Requests of this node that wait for the owner's verdict: bounded by the sessions' in-flight limits, ended by one sweep."""

from collections.abc import Callable
from dataclasses import dataclass

from svc.kernel.errors import Expired, IdempotencyConflict, NotFound, OutcomeUnknown, StonechatError, Unprocessable
from svc.kernel.record import Record
from svc.kernel.relay import Answer, Outcome, Unanswered

Answered = Callable[["Answer | StonechatError"], None]
"""Told once: the answer of an event that is stored, or why there is none."""


@dataclass(slots=True)
class Request:
    """One record that was accepted, and who waits for its answer."""

    record: Record
    deadline: float  # monotonic seconds
    answered: Answered


class Requests:
    """By request id, in the order in which they were made. `moved` is told of records that have to be appended elsewhere."""

    def __init__(self, moved: Callable[[Record], None]) -> None:
        self._moved = moved
        self._waiting: dict[int, Request] = {}
        self._next_id = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def waits(self, record: Record) -> bool:
        """Whether somebody waits for the answer to a record."""
        return record.request_id in self._waiting

    def next_id(self) -> int:
        """A number for the next request; never given twice."""
        self._next_id += 1
        return self._next_id

    def add(self, request: Request) -> None:
        """Wait for the answer to `request.record.request_id`."""
        self._waiting[request.record.request_id] = request

    def resolve(self, answer: Answer) -> None:
        """The owner has decided. Answers to requests that wait no longer are ignored."""
        if answer.outcome is Outcome.MOVED:
            if (moved := self._waiting.get(answer.request_id)) is not None:
                self._moved(moved.record)
            return
        request = self._waiting.pop(answer.request_id, None)
        if request is not None:
            request.answered(_refusal(answer.outcome) or answer)

    def fail(self, request_ids: list[int], error: StonechatError) -> None:
        """These will not be answered as far as known."""
        for request_id in request_ids:
            request = self._waiting.pop(request_id, None)
            if request is not None:
                request.answered(error)

    def expire(self, now: float) -> None:
        """End what has waited too long: its outcome is unknown, a repeat with the same id tells."""
        late = [number for number, request in self._waiting.items() if request.deadline <= now]
        if late:
            self.fail(late, OutcomeUnknown("no answer in time: repeat with the same id"))

    def unanswered(self) -> list[Unanswered]:
        """What a new relay stream is told to answer (S9)."""
        return [
            Unanswered(
                number, r.record.conversation_id, r.record.sender_id, r.record.client_message_id, r.record.record_id
            )
            for number, r in self._waiting.items()
        ]


def _refusal(outcome: Outcome) -> StonechatError | None:
    match outcome:
        case Outcome.STORED | Outcome.REPEAT:
            return None
        case Outcome.CONFLICT:
            return IdempotencyConflict(
                "client_message_id: was used before with other content; take a new id", field="client_message_id"
            )
        case Outcome.EXPIRED:
            return Expired("it reached the log after its deadline and was not sent; send it again")
        case Outcome.UNPROCESSABLE:
            return Unprocessable("it could not be processed")
        case _:
            return NotFound("message_id: no such message of yours in this conversation", field="message_id")
