"""Envoy's own answers, in our form: `google.rpc.Status` with ErrorInfo, as JSON over REST, in the trailers of gRPC."""

import base64

from envoy_data_plane.envoy.config.accesslog.v3 import (
    AccessLogFilter,
    AndFilter,
    ComparisonFilter,
    ComparisonFilterOp,
    ExtensionFilter,
    HeaderFilter,
    ResponseFlagFilter,
    StatusCodeFilter,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    RuntimeUInt32,
    SubstitutionFormatString,
)
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel.v3 import ExpressionFilter
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    LocalReplyConfig,
    ResponseMapper,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any, Struct

from svc.controlplane.replies import REPLIES, Reply
from svc.controlplane.wire.names import ORIGINAL_PATH_HEADER
from svc.kernel.status import DETAILS_KEY, DOMAIN, to_status

_JSON = "application/json"
_GRPC = "application/grpc"


def local_replies() -> LocalReplyConfig:
    """The mapping for Envoy: for each reply what gRPC callers get, then what REST callers get."""
    mappers: list[ResponseMapper] = []
    for reply in REPLIES:
        mappers.append(_for_grpc(reply))
        if not reply.grpc_only:
            mappers.append(_for_rest(reply))
    return LocalReplyConfig(mappers=mappers)


def _for_grpc(reply: Reply) -> ResponseMapper:
    # Status 200 and an empty body, as gRPC has it: so grpc-web too finds the error where it looks for it.
    status = to_status(reply.error)
    return ResponseMapper(
        filter=_all([*_conditions(reply), *_GRPC_CALL]),
        status_code=200,
        body_format_override=SubstitutionFormatString(
            text_format_source=DataSource(inline_string=""), content_type=_GRPC
        ),
        headers_to_add=[
            _header("grpc-status", str(status.code)),
            _header("grpc-message", status.message),
            _header(DETAILS_KEY, base64.b64encode(status.SerializeToString()).decode().rstrip("=")),
        ],
    )


def _for_rest(reply: Reply) -> ResponseMapper:
    status = to_status(reply.error)
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    info = {"@type": kind, "reason": reply.error.reason, "domain": DOMAIN, "metadata": {}}
    message = f"{status.message}. %LOCAL_REPLY_BODY%" if reply.say_why else status.message
    return ResponseMapper(
        filter=_all(_conditions(reply)),
        status_code=reply.http_status,
        body_format_override=SubstitutionFormatString(
            json_format=Struct.from_dict({"code": status.code, "message": message, "details": [info]}),
            content_type=_JSON,
        ),
    )


def _conditions(reply: Reply) -> list[AccessLogFilter]:
    status = RuntimeUInt32(default_value=reply.status, runtime_key="unused")
    found = [
        AccessLogFilter(
            status_code_filter=StatusCodeFilter(comparison=ComparisonFilter(op=ComparisonFilterOp.EQ, value=status))
        )
    ]
    if reply.flags:
        found.append(AccessLogFilter(response_flag_filter=ResponseFlagFilter(flags=list(reply.flags))))
    if reply.because:
        expression = ExpressionFilter(expression=f"response.code_details.contains('{reply.because}')")
        found.append(
            AccessLogFilter(extension_filter=ExtensionFilter(name="because", typed_config=Any.pack(expression)))
        )
    return found


def _all(filters: list[AccessLogFilter]) -> AccessLogFilter:
    return filters[0] if len(filters) == 1 else AccessLogFilter(and_filter=AndFilter(filters=filters))


def _header(key: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=key, value=value),
        append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )


# The grpc_web filter and the transcoder both turn a call into gRPC on its way in; only the transcoder leaves the old path.
_GRPC_CALL = (
    AccessLogFilter(
        header_filter=HeaderFilter(header=HeaderMatcher(name="content-type", string_match=StringMatcher(prefix=_GRPC)))
    ),
    AccessLogFilter(header_filter=HeaderFilter(header=HeaderMatcher(name=ORIGINAL_PATH_HEADER, present_match=False))),
)
