"""Clusters and their endpoints: how Envoy reaches instances, and when it stops trying one."""

from collections.abc import Iterable
from datetime import timedelta

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterEdsClusterConfig,
    ClusterLbPolicy,
    OutlierDetection,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    HealthCheck,
    HealthCheckGrpcHealthCheck,
    Http2ProtocolOptions,
    KeepaliveSettings,
    Pipe,
    SocketAddress,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.google.protobuf import Any

from svc.controlplane import model
from svc.controlplane.model import host_port
from svc.controlplane.snapshot import CLUSTER, ENDPOINTS, Resource, resource
from svc.controlplane.wire.names import KEYS, KEYS_SOCKET

BUFFER_BYTES = 32 * 1024  # per connection; Envoy's default lets one client that stops reading pin tens of MB
STREAM_WINDOW = 64 * 1024
# A client that stops reading pins a part of the window of the connection that all streams to an instance share: measured 86 kB,
# more than its stream window (95 such clients stalled everybody at 8 MiB). So the connection has room for all of its streams
# nearly twice over, and more streams open another connection.
STREAMS_PER_CONNECTION = 100
CONNECTION_WINDOW = 16 * 1024 * 1024
ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def service_cluster(cluster: model.Cluster) -> Resource:
    """The cluster of a service; its endpoints come apart."""
    message = Cluster(
        name=cluster.name,
        type=ClusterDiscoveryType.EDS,
        eds_cluster_config=ClusterEdsClusterConfig(eds_config=ADS),
        connect_timeout=timedelta(seconds=2),
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        # Maglev moves the fewest users when instances come and go.
        lb_policy=ClusterLbPolicy.MAGLEV if cluster.holds_sessions else ClusterLbPolicy.LEAST_REQUEST,
        # Envoy holds back what health checks found for so long; with its default, 1 s, a new instance waits that long.
        common_lb_config=ClusterCommonLbConfig(update_merge_window=timedelta(milliseconds=50)),
        health_checks=[_health_check()],
        # An instance that left the registry takes no new calls, whatever its health; its open streams go on.
        ignore_health_on_host_removal=True,
        circuit_breakers=_circuit_breakers(),
        outlier_detection=_outlier_detection(),
        typed_extension_protocol_options={"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": Any.pack(_http2())},
    )
    return resource(CLUSTER, cluster.name, bytes(message), [(ENDPOINTS, cluster.name)])


def endpoints(cluster: str, addresses: Iterable[str]) -> Resource:
    """The instances of a cluster, each `host:port`. Raises ValueError when an address is no such thing."""
    listed = [
        LbEndpoint(endpoint=Endpoint(address=Address(socket_address=SocketAddress(address=host, port_value=port))))
        for host, port in map(host_port, addresses)
    ]
    localities = [LocalityLbEndpoints(lb_endpoints=listed)] if listed else []
    return resource(ENDPOINTS, cluster, bytes(ClusterLoadAssignment(cluster_name=cluster, endpoints=localities)))


def keys_cluster() -> Resource:
    """Envoy itself, by its socket for keys: where it fetches the public keys that tokens are checked with."""
    endpoint = LbEndpoint(endpoint=Endpoint(address=Address(pipe=Pipe(path=KEYS_SOCKET))))
    message = Cluster(
        name=KEYS,
        type=ClusterDiscoveryType.STATIC,
        connect_timeout=timedelta(seconds=1),
        load_assignment=ClusterLoadAssignment(
            cluster_name=KEYS, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
        ),
    )
    return resource(CLUSTER, KEYS, bytes(message))


def _http2() -> HttpProtocolOptions:
    return HttpProtocolOptions(
        explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
            http2_protocol_options=Http2ProtocolOptions(
                max_concurrent_streams=STREAMS_PER_CONNECTION,
                initial_stream_window_size=STREAM_WINDOW,
                initial_connection_window_size=CONNECTION_WINDOW,
                connection_keepalive=KeepaliveSettings(interval=timedelta(seconds=30), timeout=timedelta(seconds=10)),
            )
        )
    )


def _health_check() -> HealthCheck:
    interval = timedelta(seconds=2)
    return HealthCheck(
        grpc_health_check=HealthCheckGrpcHealthCheck(),
        interval=interval,
        no_traffic_interval=interval,  # the default, 60 s, would let the first caller find a dead instance
        timeout=timedelta(seconds=1),
        unhealthy_threshold=2,
        healthy_threshold=1,
    )


def _circuit_breakers() -> CircuitBreakers:
    # `max_requests` counts open streams: its default, 1024, would be the limit of sessions.
    return CircuitBreakers(
        thresholds=[
            CircuitBreakersThresholds(
                max_connections=10_000, max_pending_requests=10_000, max_requests=1_000_000, max_retries=100
            )
        ]
    )


def _outlier_detection() -> OutlierDetection:
    # Five answers UNAVAILABLE in a row (HTTP 503) rest an instance; never more than half of them, so a lone one never. Not
    # INTERNAL: gRPC's runtime answers that to requests that a client made wrong on purpose, and a client must not rest anybody.
    return OutlierDetection(
        enforcing_consecutive_5xx=0,
        consecutive_gateway_failure=5,
        enforcing_consecutive_gateway_failure=100,
        interval=timedelta(seconds=5),
        base_ejection_time=timedelta(seconds=10),
        max_ejection_percent=50,
        always_eject_one_host=False,
    )
