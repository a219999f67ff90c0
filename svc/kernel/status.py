"""Errors on the wire: `google.rpc.Status` with `ErrorInfo`, and where they apply `BadRequest`, `RetryInfo`, `RequestInfo`.

The shapes are those of https://google.aip.dev/193.
"""

from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2
from google.rpc.status_pb2 import Status

from svc.kernel.errors import InvalidField, StonechatError

DOMAIN = "stonechat"
DETAILS_KEY = "grpc-status-details-bin"


def to_status(error: StonechatError, call_id: str = "") -> Status:
    """The status that tells a caller of this error."""
    status = Status(code=code_pb2.Code.Value(error.code), message=error.message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if error.field:
        must = error.must if isinstance(error, InvalidField) else error.message
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=must)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if error.code == "INTERNAL" and call_id:
        status.details.add().Pack(error_details_pb2.RequestInfo(request_id=call_id))
    return status


def internal(call_id: str) -> StonechatError:
    """What a caller is told of a fault of ours: nothing but the id to report."""
    return StonechatError(f"internal error; report the request id {call_id}")
