"""A refusal, the same object whatever surface it came by. That its form is right is checked here, for every case.

Broken            a promise is broken: what was demanded, what was expected, what came
└── NoAnswer      nothing came within a deadline
Refused           what the server said, in the form that the contract demands
"""

from dataclasses import dataclass, field

from google.protobuf.json_format import ParseDict
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from stonechat.errors.v1.error_reason_pb2 import ErrorReason

# https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


@dataclass(eq=False)
class Broken(AssertionError):
    """A promise of the contract that is not kept. `expected` is absent where `what` says it all."""

    what: str
    expected: object = None
    came: object = None

    def __str__(self) -> str:
        told = {"expected": self.expected, "came": self.came}
        return "; ".join([self.what, *(f"{name} {value}" for name, value in told.items() if value is not None)])


class NoAnswer(Broken):
    """Nothing came, or nothing that was waited for, within a deadline."""


@dataclass(repr=False)
class Refused(Exception):
    """What a call or a stream ended with."""

    code: str
    reason: str
    fields: tuple[str, ...] = ()
    message: str = field(default="", compare=False)
    retry_after: float | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        fields = f" naming {', '.join(self.fields)}" if self.fields else ""
        return f"{self.code} ({self.reason}){fields}"

    def __str__(self) -> str:
        return f"{self!r}: {self.message}"

    def __hash__(self) -> int:
        return hash((self.code, self.reason, self.fields))


def from_status(status: Status) -> Refused:
    """What a `google.rpc.Status` says."""
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for packed in status.details:
        for detail in (info, bad, retry):
            packed.Unpack(detail)  # does nothing when it is of another type
    if info.domain != "stonechat":
        raise Broken("an error carries an ErrorInfo of the domain stonechat", came=_line(status))
    if f"ERROR_REASON_{info.reason}" not in ErrorReason.keys():  # noqa: SIM118 - no dict
        raise Broken("an error has a reason of the contract", came=_line(status))
    if not status.message or not all(violation.description for violation in bad.field_violations):
        raise Broken("an error has a message, and each field it names what it must be", came=_line(status))
    return Refused(
        code_pb2.Code.Name(status.code),
        info.reason,
        tuple(violation.field for violation in bad.field_violations),
        status.message,
        retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None,
    )


def from_details(code: int, details: bytes, message: str = "") -> Refused:
    """What the end of a gRPC call says: its status code, and `grpc-status-details-bin`."""
    if not details:
        came = f"{code_pb2.Code.Name(code)}: {message}"
        raise Broken("an error carries its details (google.rpc.Status)", came=came)
    status = Status.FromString(details)
    if status.code != code:
        raise Broken("an error's details have its status code", expected=code, came=status.code)
    return from_status(status)


def from_json(http_status: int, body: dict[str, object]) -> Refused:
    """What the body of a REST answer says."""
    refused = from_status(ParseDict(body, Status()))
    # 413 and 431 tell more than 400 does; both are INVALID_ARGUMENT.
    if http_status not in (HTTP_STATUS.get(refused.code), 413, 431):
        expected = HTTP_STATUS.get(refused.code, "a code that has an HTTP status")
        raise Broken(f"the HTTP status of {refused.code}", expected=expected, came=http_status)
    return refused


def _line(status: Status) -> str:
    return " ".join(str(status).split())
