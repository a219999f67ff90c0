"""What the edge says itself, when no service has answered: the same reasons as ours on every surface."""

from dataclasses import dataclass

from svc.kernel import errors
from svc.kernel.errors import StonechatError


@dataclass(frozen=True, slots=True)
class Reply:
    """What stands for an answer of Envoy with HTTP status `status`, where `flags` and `because` (if any) hold too.

    `flags` are Envoy's response flags, `because` is a part of its response code details (both: Envoy docs,
    access_log/usage and http_conn_man/response_code_details). `http_status` is what REST callers see, when another. With
    `say_why` REST callers also read Envoy's own words, which name the path or the field.
    """

    status: int
    error: StonechatError
    flags: tuple[str, ...] = ()
    because: str = ""
    http_status: int | None = None
    say_why: bool = False
    grpc_only: bool = False


_NO_TOKEN = errors.Unauthenticated("send `authorization: Bearer <access token>` with a valid token")
_NO_ANSWER = errors.OutcomeUnknown("no answer came in time; repeat with the same id")
_NOBODY = errors.Unavailable("this part of the service cannot answer now; repeat with backoff")
_TOO_LARGE = errors.MalformedRequest("the request is too large: at most 256 KiB")

# The first that applies is taken.
REPLIES = (
    Reply(
        401,
        errors.Unavailable("tokens cannot be checked yet; repeat with backoff"),
        because="Jwks_remote_fetch",
        http_status=503,
    ),
    Reply(401, errors.TokenExpired("the access token has expired: refresh it"), because="Jwt_is_expired"),
    Reply(401, _NO_TOKEN, say_why=True),
    Reply(403, _NO_TOKEN, because="Jwt", http_status=401, say_why=True),  # of Envoy's for a token made for others
    Reply(403, errors.PermissionDenied("this is not allowed")),
    # gRPC's word for an unknown method; REST has another (HTTP 501 would say that the server lacks something).
    Reply(404, errors.Unimplemented("this server does not know the call"), grpc_only=True),
    Reply(404, errors.NotFound("there is no such path"), say_why=True),
    Reply(400, errors.MalformedRequest("the request is malformed"), say_why=True),
    Reply(413, _TOO_LARGE),
    Reply(431, errors.MalformedRequest("the headers are too large")),
    Reply(429, errors.RateLimited("too many calls; repeat with backoff")),
    Reply(408, errors.Unavailable("the request did not arrive in time; repeat it")),
    Reply(504, _NO_ANSWER),
    # The instance was lost after it had the request, before it answered (UC: connection ended, UR: it reset the stream).
    Reply(503, _NO_ANSWER, flags=("UC", "UR")),
    Reply(503, _NOBODY),
    Reply(502, _NOBODY),
    Reply(500, StonechatError("internal error at the edge")),
)
