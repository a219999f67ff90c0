"""How a session with Cassandra is begun, and what its driver's errors mean."""

import asyncio
import gc
import logging
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import acsylla
from acsylla.errors import (
    CassErrorServerBadCredentials,
    CassErrorServerInvalidQuery,
    CassErrorServerSyntaxError,
    CassErrorServerUnauthorized,
    CassErrorSourceSsl,
    CassException,
)

from svc.kernel.addresses import Address
from svc.kernel.errors import StartError

log = logging.getLogger(__name__)

REQUEST_SECONDS = 1.5
"""How long a node may take to answer."""
_CONNECT_SECONDS = 5.0
_START_SECONDS = 15.0
_CLOSE_SECONDS = 5.0
_HEARTBEAT_SECONDS = 2  # a node that hangs is left after two of them
_QUIET = 100  # above CRITICAL: what the driver says, the transitions here say

ANSWERS = (
    CassErrorServerBadCredentials,
    CassErrorServerInvalidQuery,
    CassErrorServerSyntaxError,
    CassErrorServerUnauthorized,
)
"""Errors by which Cassandra answers: it is up, but what it was asked does not fit it."""


class _Verified(Enum):
    # As in the C++ driver: 1 who signed it, 2 whether it names the address. acsylla 1.2.0 gives the name of 2 the value 1.
    CERTIFICATE_AND_ADDRESS = 3


@asynccontextmanager
async def connected(address: Address, keyspace: str | None) -> AsyncIterator[Any]:
    """A session of acsylla for as long as the block lasts. Raises StartError saying what to do."""
    cluster = _cluster(address)
    try:
        session = await _begun(cluster, address, keyspace)
        try:
            yield session
        finally:
            await _ended(session)
    finally:
        _release(cluster)


async def _ended(session: Any) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await session.close()  # waits for what is under way
    except (CassException, TimeoutError) as error:
        log.warning("a session with Cassandra does not end: it is left", extra={"error": str(error) or "no answer"})


async def _begun(cluster: Any, address: Address, keyspace: str | None) -> Any:
    try:
        async with asyncio.timeout(_START_SECONDS):
            return await cluster.create_session(keyspace)
    except (CassException, TimeoutError) as error:
        raise start_error(address, error) from error


def _cluster(address: Address) -> Any:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,47}", address.name):
        raise _wrong(
            address, f"the keyspace {address.name!r} must be a lower-case letter, then letters, digits or _, 48 at most"
        )
    if len({port for _, port in address.hosts}) > 1:
        raise _wrong(address, "all nodes must have the same port")
    logging.getLogger("acsylla").setLevel(_QUIET)
    return acsylla.create_cluster(
        [host for host, _ in address.hosts],
        port=address.hosts[0][1],
        username=address.user or None,
        password=address.password or None,
        consistency="LOCAL_QUORUM",
        load_balance_dc_aware=data_centre(address),
        token_aware_routing=True,
        token_aware_routing_shuffle_replicas=True,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_policy="fallthrough",
        heartbeat_interval_sec=_HEARTBEAT_SECONDS,
        idle_timeout_sec=2 * _HEARTBEAT_SECONDS,
        exponential_reconnect_base_delay_ms=200,
        exponential_reconnect_max_delay_ms=2000,
        tcp_nodelay=True,
        log_level="disabled",
        application_name="stonechat",
        **_tls(address),
    )


def _release(cluster: Any) -> None:
    """Close what wakes the loop up: acsylla 1.2.0 leaves two pairs of sockets behind, and the loop would keep them alive."""
    loop = asyncio.get_running_loop()
    held = gc.get_referents(cluster)
    loggers = [part for part in held if type(part).__name__ == "Logger"]
    for part in held + gc.get_referents(*loggers):
        if isinstance(part, socket.socket):
            loop.remove_reader(part)
            part.close()


def data_centre(address: Address) -> str:
    """The data centre whose nodes are asked."""
    return address.option("dc", "datacenter1")


def start_error(address: Address, error: Exception) -> StartError:
    """What an error at the start means, and what to do about it."""
    text = str(error) or type(error).__name__
    if isinstance(error, CassErrorServerBadCredentials):
        return _wrong(address, f"it refuses user and password ({text})")
    if isinstance(error, CassErrorSourceSsl):
        return _wrong(
            address,
            f"its certificate is not accepted ({text}): it must name the node's address, and `ca` who signed it",
        )
    if "Keyspace" in text and "does not exist" in text:
        return StartError(f"Cassandra has no keyspace {address.name}: run `stonechat migrate`")
    if isinstance(error, ANSWERS):
        return StartError(
            f"Cassandra at {_hosts(address)} refuses what is asked ({text}): see who may use {address.name}"
        )
    return _wrong(address, f"it does not answer ({text}), or has no data centre {data_centre(address)}: start it")


def _wrong(address: Address, what: str) -> StartError:
    return StartError(f"Cassandra at {_hosts(address)}: {what}; or correct STONECHAT_CASSANDRA")


def _hosts(address: Address) -> str:
    return ", ".join(address.host_ports())


def _tls(address: Address) -> dict[str, Any]:
    """Certificates must name the address of the node: the driver finds nodes by their addresses."""
    try:
        if address.tls() is None:
            return {}
        trusted = address.options.get("ca") or ssl.get_default_verify_paths().cafile
        files = {
            "ssl_trusted_cert": trusted,
            "ssl_cert": address.options.get("cert"),
            "ssl_private_key": address.options.get("key"),
        }
        texts = {name: Path(file).read_text() for name, file in files.items() if file}
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise _wrong(address, f"its certificates cannot be read ({error})") from error
    return {"ssl_enabled": True, "ssl_verify_flags": _Verified.CERTIFICATE_AND_ADDRESS, **texts}
