"""A refusal, the same object whatever surface it came by. That its form is right is checked here, for every test."""

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


@dataclass
class Refused(Exception):
    """What a call or a stream ended with."""

    code: str
    reason: str
    fields: tuple[str, ...] = ()
    message: str = field(default="", compare=False)
    retry_after: float | None = field(default=None, compare=False)

    def __hash__(self) -> int:
        return hash((self.code, self.reason, self.fields))


def from_status(status: Status) -> Refused:
    """What a `google.rpc.Status` says."""
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for packed in status.details:
        for detail in (info, bad, retry):
            if packed.Is(detail.DESCRIPTOR):
                packed.Unpack(detail)
    assert info.domain == "stonechat", f"no ErrorInfo of ours: {status}"
    assert f"ERROR_REASON_{info.reason}" in ErrorReason.keys(), f"no reason of the contract: {status}"  # noqa: SIM118
    assert status.message, f"nothing for people to read: {status}"
    assert all(violation.description for violation in bad.field_violations)
    return Refused(
        code_pb2.Code.Name(status.code),
        info.reason,
        tuple(violation.field for violation in bad.field_violations),
        status.message,
        retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None,
    )


def from_details(code: int, details: bytes, message: str = "") -> Refused:
    """What the end of a gRPC call says: its status code, and `grpc-status-details-bin`."""
    assert details, f"an error without details: {code_pb2.Code.Name(code)} {message}"
    status = Status.FromString(details)
    assert status.code == code
    return from_status(status)


def from_json(http_status: int, body: dict[str, object]) -> Refused:
    """What the body of a REST answer says."""
    refused = from_status(ParseDict(body, Status()))
    # 413 and 431 tell more than 400 does; both are INVALID_ARGUMENT.
    assert http_status in (HTTP_STATUS[refused.code], 413, 431), f"HTTP {http_status}: {body}"
    return refused
