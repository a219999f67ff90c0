"""The one tree of errors.

    StonechatError
    ├── CallerError                 repeating the same call does not help
    │   ├── InvalidField            INVALID_ARGUMENT     names the field and what it must be
    │   ├── MalformedRequest        INVALID_ARGUMENT
    │   ├── ProtocolViolation       FAILED_PRECONDITION  ends the stream
    │   ├── Unauthenticated         UNAUTHENTICATED      (TokenExpired, DeviceRevoked, WrongCredentials, RefreshTokenInvalid)
    │   ├── PermissionDenied        PERMISSION_DENIED
    │   ├── NotFound                NOT_FOUND
    │   ├── UsernameTaken           ALREADY_EXISTS
    │   ├── IdempotencyConflict     ALREADY_EXISTS       names the field
    │   ├── FailedPrecondition      FAILED_PRECONDITION  (TargetNotChangeable, Unprocessable, GroupFull)
    │   ├── Unimplemented           UNIMPLEMENTED
    │   └── Expired                 DEADLINE_EXCEEDED
    ├── Transient                   repeating helps, after `retry_after` seconds when that is set
    │   ├── RateLimited             RESOURCE_EXHAUSTED   (TooManyInFlight)
    │   ├── Busy                    UNAVAILABLE
    │   ├── Draining                UNAVAILABLE
    │   ├── OutcomeUnknown          UNAVAILABLE          repeat with the same id
    │   └── Unavailable             UNAVAILABLE          a back end cannot answer
    └── StartError                  the process cannot start; the text says what to do

A leaf names its reason (`ErrorReason` in the contract; compared by a test). Drivers' errors are translated in `svc.backends`.
Only `svc.kernel.calls` turns an error into a status.
"""

from typing import ClassVar


class StonechatError(Exception):
    """Anything this system raises on purpose. The text is for people and may be shown to the caller.

    `code` is the name of a gRPC status code, `reason` the name of an `ErrorReason` without its prefix.
    """

    code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, field: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after


class CallerError(StonechatError):
    """Repeating the same call does not help."""


class InvalidField(CallerError):
    """A field breaks its rule."""

    code = "INVALID_ARGUMENT"
    reason = "INVALID_FIELD"

    def __init__(self, field: str, must: str) -> None:
        super().__init__(f"{field}: {must}", field=field)
        self.must = must


class MalformedRequest(CallerError):
    """The bytes are no message of the expected type."""

    code = "INVALID_ARGUMENT"
    reason = "MALFORMED_REQUEST"


class ProtocolViolation(CallerError):
    """A frame that may not come now."""

    code = "FAILED_PRECONDITION"
    reason = "PROTOCOL_VIOLATION"


class Unauthenticated(CallerError):
    """No token, or one that is not ours."""

    code = "UNAUTHENTICATED"
    reason = "UNAUTHENTICATED"


class TokenExpired(Unauthenticated):
    """The access token has ended."""

    reason = "TOKEN_EXPIRED"


class DeviceRevoked(Unauthenticated):
    """The device was signed out."""

    reason = "DEVICE_REVOKED"


class WrongCredentials(Unauthenticated):
    """Username and password do not fit together."""

    reason = "WRONG_CREDENTIALS"


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is unknown, ended, or was used before."""

    reason = "REFRESH_TOKEN_INVALID"


class PermissionDenied(CallerError):
    """The caller is known but may not do this."""

    code = "PERMISSION_DENIED"
    reason = "PERMISSION_DENIED"


class NotFound(CallerError):
    """It does not exist, or is not the caller's to see."""

    code = "NOT_FOUND"
    reason = "NOT_FOUND"


class UsernameTaken(CallerError):
    """The name is in use."""

    code = "ALREADY_EXISTS"
    reason = "USERNAME_TAKEN"


class IdempotencyConflict(CallerError):
    """The client-chosen id was used before with other content."""

    code = "ALREADY_EXISTS"
    reason = "IDEMPOTENCY_CONFLICT"


class FailedPrecondition(CallerError):
    """The state of things forbids it."""

    code = "FAILED_PRECONDITION"


class TargetNotChangeable(FailedPrecondition):
    """The message named can no longer be changed."""

    reason = "TARGET_NOT_CHANGEABLE"


class Unprocessable(FailedPrecondition):
    """Accepted, but its content could not be processed; it lies in the dead letters."""

    reason = "UNPROCESSABLE"


class GroupFull(FailedPrecondition):
    """The group has as many members as it may have."""

    reason = "GROUP_FULL"


class Unimplemented(CallerError):
    """This server does not know the call. Said by the edge; a service never has to."""

    code = "UNIMPLEMENTED"
    reason = "UNIMPLEMENTED"


class Expired(CallerError):
    """It reached the log after its deadline and was not sent."""

    code = "DEADLINE_EXCEEDED"
    reason = "EXPIRED"


class Transient(StonechatError):
    """Repeating helps."""

    code = "UNAVAILABLE"


class RateLimited(Transient):
    """Too many calls of this kind."""

    code = "RESOURCE_EXHAUSTED"
    reason = "RATE_LIMITED"


class TooManyInFlight(RateLimited):
    """The session waits for too many answers already."""

    reason = "TOO_MANY_IN_FLIGHT"


class Busy(Transient):
    """Too many sessions say Hello at once."""

    reason = "BUSY"


class Draining(Transient):
    """This instance stops."""

    reason = "DRAINING"


class OutcomeUnknown(Transient):
    """No answer came in time: it may or may not have happened. Repeat with the same id."""

    reason = "OUTCOME_UNKNOWN"


class Unavailable(Transient):
    """A back end, or another service, cannot answer now."""

    reason = "UNAVAILABLE"


class StartError(StonechatError):
    """The process cannot start. The text says what is wrong and what to do."""
