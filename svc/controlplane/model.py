"""What the edge knows: the methods of the contract, and the clusters behind them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the contract. `path` is `/package.Service/Method`, `http_get` its path for GET over REST, or empty."""

    path: str
    streams_requests: bool = False
    streams_responses: bool = False
    repeatable: bool = False
    """A repeat changes nothing more: bound to GET, or marked NO_SIDE_EFFECTS."""
    waits: bool = False
    """A unary call that may take as long as its field `wait_seconds` says."""
    http_get: str = ""

    @property
    def service(self) -> str:
        """The full name of its service."""
        return self.path[1:].rpartition("/")[0]

    @property
    def streams(self) -> bool:
        """It stays open for as long as both sides like."""
        return self.streams_requests or self.streams_responses


@dataclass(frozen=True, slots=True)
class Contract:
    """The methods, and the bytes of the `FileDescriptorSet` that describes them."""

    methods: tuple[Method, ...]
    descriptors: bytes


@dataclass(frozen=True, slots=True)
class Cluster:
    """The instances of one service. Where sessions live, all calls of a user go to the same instance."""

    name: str
    holds_sessions: bool


@dataclass(frozen=True, slots=True)
class Route:
    """Where calls of a method go, and whether they need an access token."""

    method: Method
    cluster: str
    needs_token: bool


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """All that the edge routes. `rest_services` are the services that REST reaches, `key_route` is how Envoy gets our keys."""

    routes: tuple[Route, ...]
    clusters: tuple[Cluster, ...]
    rest_services: tuple[str, ...]
    key_route: Route


def host_port(address: str) -> tuple[str, int]:
    """Split `host:port`; an IPv6 host stands in brackets. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if not host:
        raise ValueError(f"{address!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)
