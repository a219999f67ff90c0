"""Which services a process runs, and which back ends those need."""

from collections.abc import Sequence

from svc.kernel.errors import StartError
from svc.kernel.registry import SERVICES
from svc.kernel.settings import Settings

EDGE = "edge"
ROLES = (*(service.name for service in SERVICES), EDGE)
"""What `stonechat serve` takes: the services, and Envoy with its control plane."""

_LOG, _STORE, _TABLES = "STONECHAT_KAFKA", "STONECHAT_CASSANDRA", "STONECHAT_MYSQL"
_NEEDS: dict[str, frozenset[str]] = {
    "messaging": frozenset({_LOG, _STORE}),
    "delivery": frozenset({_LOG, _STORE}),
    "history": frozenset({_STORE}),
    "users": frozenset({_LOG, _TABLES}),
    "groups": frozenset({_LOG, _TABLES}),
    EDGE: frozenset(),
}


def chosen(names: Sequence[str], settings: Settings) -> frozenset[str]:
    """The roles of this process; none named means all. Raises StartError when what is set does not allow them."""
    roles = frozenset(names or ROLES)
    if unknown := sorted(roles - set(ROLES)):
        raise StartError(f"there is no service {unknown[0]}: there are {', '.join(ROLES)}")
    addresses = {_LOG: settings.kafka, _STORE: settings.cassandra, _TABLES: settings.mysql}
    if not settings.zookeeper:
        if roles != frozenset(ROLES):
            raise StartError(
                "services in processes of their own find each other by ZooKeeper: set STONECHAT_ZOOKEEPER, or serve everything"
            )
        return roles
    # With a registry there may be others, and a file in the data folder is not theirs, too.
    needed = {name for role in roles for name in _NEEDS[role]}
    if missing := sorted(name for name in needed if not addresses[name]):
        raise StartError(
            f"with STONECHAT_ZOOKEEPER set, other processes share what {', '.join(sorted(roles))} keep:"
            f" set {' and '.join(missing)}"
        )
    if not settings.inner_token:
        raise StartError(
            "with STONECHAT_ZOOKEEPER set, processes know each other by STONECHAT_INNER_TOKEN: set it to the same secret"
            " everywhere (make one: `openssl rand -hex 32`)"
        )
    return roles


def needs_log(roles: frozenset[str]) -> bool:
    """Whether any of the roles appends to the event log or reads it."""
    return any(_LOG in _NEEDS[role] for role in roles)


def needs_store(roles: frozenset[str]) -> bool:
    """Whether any of the roles reads or writes the message store."""
    return any(_STORE in _NEEDS[role] for role in roles)
