"""The real back ends that the settings in the environment name: fresh names on them for each server, and their processes."""

import os
import secrets
from collections.abc import Mapping

import psutil

from svc.kernel import addresses

_SCHEMES = (addresses.KAFKA, addresses.CASSANDRA, addresses.MYSQL, addresses.REDIS, addresses.ZOOKEEPER)
_PREFIX = "STONECHAT_"


def fresh(settings: Mapping[str, str]) -> dict[str, str]:
    """The addresses among these settings, each with a name that nothing on its back end has yet: each server is measured empty,
    as one on a fresh data folder is. Raises ValueError for one that is no address."""
    name = f"bench_{secrets.token_hex(4)}"
    named = {}
    for scheme in _SCHEMES:
        if url := settings.get(variable := _PREFIX + scheme.name.upper()):
            base, question, options = url.partition("?")
            old = addresses.parse(scheme, url).name
            named[variable] = f"{base.removesuffix('/' + old)}/{name}{question}{options}"
    return named


def processes(settings: Mapping[str, str]) -> dict[str, int]:
    """Back end → the process on this machine that listens at its first address; those elsewhere are left out."""
    found = {}
    listening: dict[tuple[str, int], int] = {}
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.pid is not None:
            host = connection.laddr.ip.removeprefix("::ffff:")
            listening[(host, connection.laddr.port)] = connection.pid
    for scheme in _SCHEMES:
        if url := settings.get(_PREFIX + scheme.name.upper()):
            host, port = addresses.parse(scheme, url).hosts[0]
            if pid := listening.get((host, port)):
                found[scheme.name] = pid
    return found


def given() -> dict[str, str]:
    """Stonechat's settings in the environment."""
    return {name: value for name, value in os.environ.items() if name.startswith(_PREFIX)}
