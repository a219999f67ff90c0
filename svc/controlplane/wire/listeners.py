"""The listeners. They are pushed once and never change: a changed listener cuts the streams on it (after its drain time).

So nothing in here depends on the contract or on what is up: the filters get what they need to know by route.
"""

import socket
from datetime import timedelta

from envoy_data_plane.envoy.config.common.mutation_rules.v3 import HeaderMutation
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    Http2ProtocolOptions,
    HttpProtocolOptions,
    HttpProtocolOptionsHeadersWithUnderscoresAction,
    KeepaliveSettings,
    Pipe,
    SocketAddress,
    SocketOption,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.listener.v3 import (
    Filter,
    FilterChain,
    Listener,
    ListenerConnectionBalanceConfig,
    ListenerConnectionBalanceConfigExactBalance,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
    HttpConnectionManagerCodecType,
    HttpConnectionManagerPathWithEscapedSlashesAction,
    Rds,
)
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    HeaderMutation as EarlyHeaderMutation,
)
from envoy_data_plane.google.protobuf import Any

from svc.controlplane.snapshot import CLUSTER, LISTENER, ROUTES, Resource, resource
from svc.controlplane.wire.clusters import ADS, BUFFER_BYTES, STREAM_WINDOW, STREAMS_PER_CONNECTION
from svc.controlplane.wire.filters import edge_filters, key_filters
from svc.controlplane.wire.names import EDGE, KEYS, KEYS_SOCKET, ORIGINAL_PATH_HEADER, USER_HEADER
from svc.controlplane.wire.replies import local_replies

# What may wait in the kernel to be sent to one client; its default lets one that stops reading pin 4 MB there. Accepted
# connections inherit it. Source: tcp(7), TCP_NOTSENT_LOWAT.
UNSENT_BYTES = 128 * 1024


def edge_listener(host: str, port: int, front: str) -> Resource:
    """Where clients connect: HTTP/1.1 and HTTP/2 (with prior knowledge) on one port."""
    address = Address(socket_address=SocketAddress(address=host, port_value=port))
    message = Listener(
        name=EDGE,
        address=address,
        filter_chains=[_chain(_edge_connections(front))],
        per_connection_buffer_limit_bytes=BUFFER_BYTES,
        # Two processes must never share the port unnoticed. One socket for all threads needs them balanced, because
        # connections stay: else the first thread awake would take them all.
        socket_options=[SocketOption(level=socket.IPPROTO_TCP, name=socket.TCP_NOTSENT_LOWAT, int_value=UNSENT_BYTES)],
        enable_reuse_port=False,
        connection_balance_config=ListenerConnectionBalanceConfig(
            exact_balance=ListenerConnectionBalanceConfigExactBalance()
        ),
    )
    return resource(LISTENER, EDGE, bytes(message), [(ROUTES, EDGE), (CLUSTER, KEYS)])


def key_listener() -> Resource:
    """Where Envoy asks itself for the public keys; a socket that only its own user can open."""
    manager = HttpConnectionManager(
        stat_prefix=KEYS,
        rds=Rds(config_source=ADS, route_config_name=KEYS),
        http_filters=key_filters(),
    )
    message = Listener(
        name=KEYS, address=Address(pipe=Pipe(path=KEYS_SOCKET, mode=0o600)), filter_chains=[_chain(manager)]
    )
    return resource(LISTENER, KEYS, bytes(message), [(ROUTES, KEYS)])


def _chain(manager: HttpConnectionManager) -> FilterChain:
    name = "envoy.filters.network.http_connection_manager"
    return FilterChain(filters=[Filter(name=name, typed_config=Any.pack(manager))])


def _edge_connections(front: str) -> HttpConnectionManager:
    return HttpConnectionManager(
        stat_prefix=EDGE,
        codec_type=HttpConnectionManagerCodecType.AUTO,
        rds=Rds(config_source=ADS, route_config_name=EDGE),
        early_header_mutation_extensions=[_header_hygiene()],
        http_filters=edge_filters(front),
        local_reply_config=local_replies(),
        common_http_protocol_options=HttpProtocolOptions(
            idle_timeout=timedelta(minutes=5),  # of connections without a stream
            max_headers_count=64,
            # `x_user` and `x-user` are one name to some servers.
            headers_with_underscores_action=HttpProtocolOptionsHeadersWithUnderscoresAction.REJECT_REQUEST,
        ),
        http2_protocol_options=Http2ProtocolOptions(
            max_concurrent_streams=STREAMS_PER_CONNECTION,
            initial_stream_window_size=STREAM_WINDOW,
            initial_connection_window_size=1024 * 1024,
            # Remembered headers cost each idle connection 1.6 kB; a chat client sends its headers once, for its one stream.
            hpack_table_size=0,
            # Finds phones that are gone: services cannot, Envoy answers for them.
            connection_keepalive=KeepaliveSettings(interval=timedelta(seconds=30), timeout=timedelta(seconds=10)),
        ),
        max_request_headers_kb=32,
        request_headers_timeout=timedelta(seconds=10),
        stream_idle_timeout=timedelta(minutes=5),  # routes of streams have less
        drain_timeout=timedelta(seconds=2),  # between the two GOAWAYs
        use_remote_address=True,
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action=HttpConnectionManagerPathWithEscapedSlashesAction.REJECT_REQUEST,
        always_set_request_id_in_response=True,  # what a caller can report
        server_name="stonechat",
    )


def _header_hygiene() -> TypedExtensionConfig:
    # Only the edge may set these; it goes by them.
    mutations = [HeaderMutation(remove=name) for name in (USER_HEADER, ORIGINAL_PATH_HEADER)]
    return TypedExtensionConfig(name="header_hygiene", typed_config=Any.pack(EarlyHeaderMutation(mutations=mutations)))
