"""From the contract and the table of services to what the edge routes. Services marked inner are never routed."""

from collections.abc import Collection, Sequence

from svc.controlplane.model import Cluster, Method, Route, RoutingTable
from svc.kernel.registry import PUBLIC_METHODS, SERVICES, Service

# Served by every process beside our own services (grpc/grpc: doc/health-checking.md, doc/server-reflection.md). They need
# no token: load balancers and tools ask before they could have one.
STANDARD_METHODS = (
    Method("/grpc.health.v1.Health/Check", repeatable=True),
    Method("/grpc.health.v1.Health/Watch", streams_responses=True),
    Method("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", streams_requests=True, streams_responses=True),
    Method(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", streams_requests=True, streams_responses=True
    ),
)
KEYS = "/.well-known/jwks.json"


def table(
    methods: Sequence[Method],
    services: Sequence[Service] = SERVICES,
    public: Collection[str] = PUBLIC_METHODS,
) -> RoutingTable:
    """What to route. Raises ValueError when contract and table contradict each other."""
    routes: list[Route] = []
    clusters: list[Cluster] = []
    for service in services:
        if not service.grpc_services:
            continue
        own = [method for method in methods if method.service in service.grpc_services]
        if missing := set(service.grpc_services) - {method.service for method in own}:
            raise ValueError(f"the contract has no methods of {sorted(missing)}, which the table of services names")
        routes += [Route(method, service.name, method.path not in public) for method in own]
        clusters.append(Cluster(service.name, holds_sessions=any(method.streams for method in own)))
    if unknown := set(public) - {route.method.path for route in routes}:
        raise ValueError(f"the table of services calls {sorted(unknown)} public, but nothing routes them")
    keys = next((route for route in routes if route.method.http_get == KEYS and not route.needs_token), None)
    if keys is None:
        raise ValueError(f"no method without a token is bound to GET {KEYS}: tokens could not be checked")
    front = next((cluster.name for cluster in clusters if cluster.holds_sessions), clusters[0].name)
    rest = tuple(dict.fromkeys(route.method.service for route in routes))
    standard = (Route(method, front, needs_token=False) for method in STANDARD_METHODS)
    return RoutingTable((*routes, *standard), tuple(clusters), rest, keys)
