"""Routes: one for each method, by its exact gRPC path. REST calls arrive here already turned into gRPC."""

import re
from datetime import timedelta

from envoy_data_plane.envoy.config.core.v3 import RoutingPriority
from envoy_data_plane.envoy.config.route.v3 import (
    FilterConfig,
    HeaderMatcher,
    RetryPolicy,
    RetryPolicyRetryBackOff,
    RetryPolicyRetryHostPredicate,
    Route,
    RouteAction,
    RouteActionClusterNotFoundResponseCode,
    RouteActionHashPolicy,
    RouteActionHashPolicyHeader,
    RouteActionMaxStreamDuration,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import CorsPolicy
from envoy_data_plane.envoy.extensions.filters.http.grpc_json_transcoder.v3 import (
    GrpcJsonTranscoder,
    GrpcJsonTranscoderPrintOptions,
    GrpcJsonTranscoderRequestValidationOptions,
)
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import PerRouteConfig
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.google.protobuf import Any

from svc.controlplane import model
from svc.controlplane.model import Method, RoutingTable
from svc.controlplane.snapshot import CLUSTER, ROUTES, Resource, resource
from svc.controlplane.wire.names import (
    BUFFER,
    CORS,
    EDGE,
    GRPC_WEB,
    HEALTH_CHECK,
    JWT,
    KEYS,
    TOKEN,
    TRANSCODER,
    USER_HEADER,
)

_UNARY = timedelta(seconds=15)
_LONG_POLL = timedelta(seconds=75)
_SILENT_STREAM = timedelta(seconds=90)  # the server sends something every 25 s
_NEVER = timedelta(0)
_MAX_JSON_RESPONSE = 8 * 1024 * 1024  # a gRPC message has at most 4 MiB; as JSON it may grow


def edge_routes(table: RoutingTable, descriptors: bytes, origins: tuple[str, ...]) -> Resource:
    """What clients can call."""
    host = VirtualHost(
        name=EDGE,
        domains=["*"],
        routes=[*map(_route, table.routes), _rest(descriptors, table.rest_services)],
        typed_per_filter_config={CORS: Any.pack(_cors(origins))},
    )
    needs = [(CLUSTER, cluster.name) for cluster in table.clusters]
    return resource(ROUTES, EDGE, bytes(RouteConfiguration(name=EDGE, virtual_hosts=[host])), needs)


def key_routes(table: RoutingTable, descriptors: bytes) -> Resource:
    """What Envoy asks itself: the public keys, nothing else."""
    keys = table.key_route
    host = VirtualHost(
        name=KEYS,
        domains=["*"],
        routes=[_route(keys), _rest(descriptors, (keys.method.service,))],
    )
    configuration = RouteConfiguration(name=KEYS, virtual_hosts=[host])
    return resource(ROUTES, KEYS, bytes(configuration), [(CLUSTER, keys.cluster)])


def _route(route: model.Route) -> Route:
    per_filter = {JWT: Any.pack(PerRouteConfig(requirement_name=TOKEN) if route.needs_token else _NO_TOKEN)}
    if route.method.streams_requests:
        # Browsers cannot stream requests. Each filter that is not there saves memory on every idle stream.
        per_filter |= dict.fromkeys((HEALTH_CHECK, CORS, GRPC_WEB, BUFFER), Any.pack(FilterConfig(disabled=True)))
    return Route(
        name=route.method.path,
        match=RouteMatch(path=route.method.path, headers=[_IS_GRPC]),
        route=_action(route),
        typed_per_filter_config=per_filter,
    )


def _action(route: model.Route) -> RouteAction:
    method = route.method
    action = RouteAction(
        cluster=route.cluster,
        priority=RoutingPriority.DEFAULT,
        hash_policy=[RouteActionHashPolicy(header=RouteActionHashPolicyHeader(header_name=USER_HEADER))],
        retry_policy=_retries(method),
    )
    if method.streams:
        action.timeout = timedelta(0)
        # A native app may be silent for hours: HTTP/2 PINGs find out whether it lives (listeners.py).
        lives_by_pings = method.streams_requests and route.needs_token
        action.idle_timeout = _NEVER if lives_by_pings else _SILENT_STREAM
        action.max_stream_duration = RouteActionMaxStreamDuration(max_stream_duration=timedelta(0))
    else:
        action.timeout = _LONG_POLL if method.waits else _UNARY
    return action


def _retries(method: Method) -> RetryPolicy:
    # The first three mean that no instance has taken the call, so that even a send may be tried elsewhere. What an instance
    # answered is tried again only where a repeat changes nothing.
    reasons = ["connect-failure", "refused-stream", "reset-before-request"]
    if method.repeatable and not method.streams:
        reasons.append("unavailable")
    return RetryPolicy(
        retry_on=",".join(reasons),
        num_retries=2,
        retry_back_off=RetryPolicyRetryBackOff(
            base_interval=timedelta(milliseconds=25), max_interval=timedelta(milliseconds=250)
        ),
        retry_host_predicate=[
            RetryPolicyRetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts", typed_config=Any.pack(PreviousHostsPredicate())
            )
        ],
        host_selection_retry_max_attempts=3,
    )


def _rest(descriptors: bytes, services: tuple[str, ...]) -> Route:
    # A REST call matches this one first. Once the transcoder has turned it into gRPC it is matched anew, and what still comes
    # here then is unknown: no cluster has this name.
    return Route(
        match=RouteMatch(prefix="/"),
        route=RouteAction(
            cluster="nobody", cluster_not_found_response_code=RouteActionClusterNotFoundResponseCode.NOT_FOUND
        ),
        typed_per_filter_config={TRANSCODER: Any.pack(_transcoder(descriptors, services))},
    )


def _cors(origins: tuple[str, ...]) -> CorsPolicy:
    return CorsPolicy(
        allow_origin_string_match=[_origin(origin) for origin in origins],
        allow_methods="GET, POST, DELETE, OPTIONS",
        allow_headers="authorization, content-type, grpc-timeout, last-event-id, traceparent, x-grpc-web, x-user-agent",
        expose_headers="grpc-message, grpc-status, grpc-status-details-bin, x-request-id",
        max_age="7200",
    )


def _origin(origin: str) -> StringMatcher:
    if origin.count(":") == 1:  # no port: any port
        return StringMatcher(safe_regex=RegexMatcher(regex=re.escape(origin) + "(:[0-9]+)?"))
    return StringMatcher(exact=origin)


def _transcoder(descriptors: bytes, services: tuple[str, ...]) -> GrpcJsonTranscoder:
    return GrpcJsonTranscoder(
        proto_descriptor_bin=descriptors,
        services=list(services),
        convert_grpc_status=True,
        print_options=GrpcJsonTranscoderPrintOptions(
            always_print_primitive_fields=True,  # `unreadCount: 0` is an answer, its absence a question
            stream_sse_style_delimited=True,
        ),
        request_validation_options=GrpcJsonTranscoderRequestValidationOptions(
            reject_unknown_method=True,
            reject_unknown_query_parameters=True,
            reject_binding_body_field_collisions=True,
        ),
        max_response_body_size=_MAX_JSON_RESPONSE,
    )


_NO_TOKEN = PerRouteConfig(disabled=True)
# grpc-web too: it differs in what follows.
_IS_GRPC = HeaderMatcher(name="content-type", string_match=StringMatcher(prefix="application/grpc"))
