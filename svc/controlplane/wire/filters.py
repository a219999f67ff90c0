"""The filters that every call passes, in order, each with the reason for its place."""

from datetime import timedelta

from envoy_data_plane.envoy.config.core.v3 import HttpUri
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.filters.http.buffer.v3 import Buffer
from envoy_data_plane.envoy.extensions.filters.http.cors.v3 import Cors
from envoy_data_plane.envoy.extensions.filters.http.grpc_json_transcoder.v3 import GrpcJsonTranscoder
from envoy_data_plane.envoy.extensions.filters.http.grpc_stats.v3 import FilterConfig
from envoy_data_plane.envoy.extensions.filters.http.grpc_web.v3 import GrpcWeb
from envoy_data_plane.envoy.extensions.filters.http.health_check.v3 import HealthCheck
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import (
    JwksAsyncFetch,
    JwtAuthentication,
    JwtClaimToHeader,
    JwtProvider,
    JwtRequirement,
    RemoteJwks,
)
from envoy_data_plane.envoy.extensions.filters.http.router.v3 import Router
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any

from svc.controlplane.routing import KEYS as KEYS_PATH
from svc.controlplane.wire.names import BUFFER, CORS, GRPC_WEB, HEALTH_CHECK, JWT, KEYS, TOKEN, TRANSCODER, USER_HEADER
from svc.kernel.identity import AUDIENCE, ISSUER

MAX_REQUEST_BYTES = 256 * 1024  # a whole unary request; frames of a stream are bounded by the services
HEALTH_PATH = "/healthz"
KEYS_FRESH_FOR = timedelta(seconds=60)
"""A new key must be published twice this long before it signs."""


def edge_filters(front: str) -> list[HttpFilter]:
    """For clients. `front` is the cluster without which the edge is of no use."""
    return [
        _filter(HEALTH_CHECK, _health_check(front)),  # answers itself, needs nothing of the others
        _filter(CORS, Cors()),  # before all that may refuse, so that a web page can read the refusal
        _filter(GRPC_WEB, GrpcWeb()),  # from here on every call is gRPC: from the web …
        # … and over REST. A shell: what it translates comes by route (see `wire.routes`), so the listener stays as it is, and
        # calls that are gRPC already do without it.
        _transcoder(),
        _filter(JWT, _tokens()),  # after the transcoder: its rules stand with the methods, by their gRPC paths
        _filter(BUFFER, Buffer(max_request_bytes=MAX_REQUEST_BYTES)),  # after the token: strangers fill no buffers
        _filter("envoy.filters.http.grpc_stats", FilterConfig(stats_for_all_methods=True)),  # counts what gets through
        _filter("envoy.filters.http.router", Router(suppress_envoy_headers=True)),
    ]


def key_filters() -> list[HttpFilter]:
    """For Envoy's own question for the public keys."""
    return [
        _transcoder(),
        _filter("envoy.filters.http.router", Router()),
    ]


def _filter(name: str, config: object) -> HttpFilter:
    return HttpFilter(name=name, typed_config=Any.pack(config))  # type: ignore[arg-type] # all are messages


def _transcoder() -> HttpFilter:
    return HttpFilter(
        name=TRANSCODER, typed_config=Any.pack(GrpcJsonTranscoder(proto_descriptor_bin=b"")), disabled=True
    )


def _health_check(front: str) -> HealthCheck:
    return HealthCheck(
        pass_through_mode=False,
        headers=[HeaderMatcher(name=":path", string_match=StringMatcher(exact=HEALTH_PATH))],
        cluster_min_healthy_percentages={front: Percent(value=1)},
    )


def _tokens() -> JwtAuthentication:
    return JwtAuthentication(
        providers={
            ISSUER: JwtProvider(
                issuer=ISSUER,
                audiences=[AUDIENCE],
                require_expiration=True,
                forward=True,  # the services check it again
                claim_to_headers=[JwtClaimToHeader(header_name=USER_HEADER, claim_name="sub")],
                remote_jwks=RemoteJwks(
                    http_uri=HttpUri(uri=f"http://{KEYS}{KEYS_PATH}", cluster=KEYS, timeout=timedelta(seconds=2)),
                    cache_duration=KEYS_FRESH_FOR,
                    # In the background, never while a caller waits. Nor does the listener wait for it: the question goes
                    # through Envoy's other listener, which opens together with this one.
                    async_fetch=JwksAsyncFetch(fast_listener=True, failed_refetch_duration=timedelta(milliseconds=250)),
                ),
            )
        },
        requirement_map={TOKEN: JwtRequirement(provider_name=ISSUER)},
        bypass_cors_preflight=True,
    )
