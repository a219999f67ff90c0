"""What can go wrong, as a program that uses the library sees it.

ClientError
├── InvalidRequest    a rule of the contract is broken; nothing was sent
├── QueueFull         so many messages wait already that no other is taken; nothing was queued
├── CacheUnusable     the cache's file is damaged, foreign, newer than this library, or another program has it
│   └── WrongUser     it belongs to somebody else
├── LedgerUnusable    as CacheUnusable, of a ledger's file
├── NotReachable      nobody answered: no server there, or none that can answer now; repeating helps
└── CallFailed        the server said no; `reason` says why (`ErrorReason` of the contract), `retry_after` when to come back
    └── SignedOut     the device is signed out, or its tokens have ended: sign in again
"""

from contextlib import suppress
from typing import cast

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

_DETAILS_KEY = "grpc-status-details-bin"
_FOR_GOOD = frozenset({"DEVICE_REVOKED", "REFRESH_TOKEN_INVALID"})
# Without details of ours these come from the edge or the network: whether the call had an effect is unknown.
_NO_ANSWER = {
    "UNAVAILABLE": "the server does not answer",
    "DEADLINE_EXCEEDED": "the server has not answered in time",
    "CANCELLED": "the call was cut off",
}


class ClientError(Exception):
    """Anything this library raises on purpose. The text is for people."""


class InvalidRequest(ClientError):
    """The request breaks a rule of the contract and was not sent."""

    def __init__(self, field: str, must: str) -> None:
        super().__init__(f"{field}: {must}")
        self.field = field
        self.must = must


class QueueFull(ClientError):
    """Too many messages wait to be sent. Some must be acknowledged, or refused, before another is taken."""


class CacheUnusable(ClientError):
    """The file cannot serve as a cache. The text says which file, why, and what is lost when it is deleted."""


class WrongUser(CacheUnusable):
    """The cache belongs to somebody else. Give each user a cache of their own."""


class LedgerUnusable(ClientError):
    """The file cannot serve as a ledger. The text says which file and why."""


class NotReachable(ClientError):
    """Nobody answered. Whether a call had its effect is unknown: repeat it with the same id."""


class CallFailed(ClientError):
    """The server refused. `code` is the name of the gRPC status, `reason` that of an ErrorReason or empty."""

    def __init__(self, code: str, reason: str, message: str, field: str = "", retry_after: float | None = None) -> None:
        super().__init__(message or code)
        self.code = code
        self.reason = reason
        self.field = field
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed soon without anybody doing anything."""
        return self.code == "UNAVAILABLE"


class SignedOut(CallFailed):
    """No token of this device is good any more."""


def from_rpc(error: grpc.aio.AioRpcError) -> ClientError:
    """What the end of a call means."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            with suppress(DecodeError):  # then the code alone has to do
                return from_status(Status.FromString(cast(bytes, value)))
    code = error.code().name
    # What the network layer says is for its own developers; it stays readable as the cause.
    return NotReachable(_NO_ANSWER[code]) if code in _NO_ANSWER else CallFailed(code, "", error.details() or "")


def from_status(status: Status) -> CallFailed:
    """What a `google.rpc.Status` means."""
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    _unpack(status, info, bad, retry)
    leaf = SignedOut if info.reason in _FOR_GOOD else CallFailed
    return leaf(
        code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN",
        info.reason,
        status.message,
        bad.field_violations[0].field if bad.field_violations else "",
        retry.retry_delay.ToMicroseconds() / 1e6 if retry.HasField("retry_delay") else None,
    )


def _unpack(status: Status, *into: Message) -> None:
    for detail in status.details:
        for message in into:
            detail.Unpack(message)
