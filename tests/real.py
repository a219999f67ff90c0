"""Where the real back ends are that tests marked `real` run on, and names by which each test keeps to itself on them.

`make backends` starts them where they are looked for; STONECHAT_TEST_KAFKA, STONECHAT_TEST_CASSANDRA … name others.
"""

import os
import socket
import uuid
from functools import cache

import pytest

from svc.kernel import addresses

SCHEMES = {
    scheme.name: scheme
    for scheme in (addresses.KAFKA, addresses.CASSANDRA, addresses.MYSQL, addresses.REDIS, addresses.ZOOKEEPER)
}
_USUAL = {
    "kafka": "kafka://127.0.0.1:9092?replication=1",
    "cassandra": "cassandra://127.0.0.1:9042?replication=1",
    "mysql": "mysql://root@127.0.0.1:3306",
    "redis": "redis://127.0.0.1:6379",
    "zookeeper": "zookeeper://127.0.0.1:2181",
}
_CONNECT_SECONDS = 3.0


def address(scheme: str, name: str = "", **options: object) -> str:
    """The URL of a running back end, as a setting takes it. `name` is the test's own (`unique`): topic prefix, keyspace,
    database, key prefix, path; `options` are added to those of the URL. A back end that nobody answers for fails the test,
    saying what to start."""
    url = os.environ.get(f"STONECHAT_TEST_{scheme.upper()}", _USUAL[scheme])
    _require(scheme, url)
    place, _, query = url.partition("?")
    given = dict(pair.split("=", 1) for pair in query.split("&") if pair) | {
        option: str(value) for option, value in options.items()
    }
    return f"{place.rstrip('/')}/{name}" + ("?" + "&".join(f"{k}={v}" for k, v in given.items()) if given else "")


def unique(prefix: str) -> str:
    """A name that nothing else has, fit for all of them: letters, digits and underscores, `prefix` first."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


def _require(scheme: str, url: str) -> None:
    if trouble := _unreachable(scheme, url):
        pytest.fail(f"no {scheme} answers ({trouble}): `make backends` starts it", pytrace=False)


@cache  # one look a session: a back end that dies under a test is the test's own matter
def _unreachable(scheme: str, url: str) -> str:
    parsed = addresses.parse(SCHEMES[scheme], url)
    trouble = ""
    for host, port in parsed.hosts:
        try:
            socket.create_connection((host, port), _CONNECT_SECONDS).close()
            return ""
        except OSError as error:
            trouble = f"{host}:{port}: {error}"
    return trouble
