"""The names by which Envoy's resources and headers refer to each other."""

EDGE = "edge"
KEYS = "keys"

# Sockets in the folder that Envoy runs in.
ADMIN_SOCKET = "admin.sock"
DISCOVERY_SOCKET = "xds.sock"
KEYS_SOCKET = "keys.sock"

TOKEN = "token"  # noqa: S105 - the name of a requirement

# Filters that routes have settings for.
BUFFER = "envoy.filters.http.buffer"
CORS = "envoy.filters.http.cors"
GRPC_WEB = "envoy.filters.http.grpc_web"
HEALTH_CHECK = "envoy.filters.http.health_check"
JWT = "envoy.filters.http.jwt_authn"
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"

USER_HEADER = "x-stonechat-user"  # set by the edge alone, from the token: what sessions are placed by
ORIGINAL_PATH_HEADER = "x-envoy-original-path"  # set by the transcoder: this call came over REST
