"""A session with Redis, one server or a cluster: whatever lies there can be rebuilt, so whoever asks must do without an answer.

Nobody waits for long: a call has CALL_SECONDS, all in all. After some calls without an answer all are refused at once, and a
task of this module asks until it is answered again. A Redis that is away when the process starts is no reason not to start.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from redis import asyncio as driver
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import ConnectionError as NoConnection

from svc.backends.breaker import PROBE_SECONDS, Breaker
from svc.kernel import telemetry
from svc.kernel.addresses import Address
from svc.kernel.clock import Clock
from svc.kernel.errors import StartError, Unavailable
from svc.kernel.lifecycle import owned

log = logging.getLogger(__name__)

T = TypeVar("T")
Client = Any
"""`redis.asyncio.Redis` or `RedisCluster`: both have the commands that are used here. Answers are bytes."""

CALL_SECONDS = 0.4
_CONNECTIONS = 32
# What nobody waits for may take longer: to find a cluster's nodes while some of them hang.
_PROBE_CALL_SECONDS = 3.0


class Redis:
    """Every method raises Unavailable when there is no answer, whatever the reason; the outcome is unknown then."""

    def __init__(self, address: Address, clock: Clock, call_seconds: float = CALL_SECONDS) -> None:
        self._address = address
        self._call_seconds = call_seconds
        self._breaker = Breaker("redis", clock)
        self._client: Client | None = None
        self._opening = asyncio.Lock()

    def key(self, *parts: object) -> str:
        """A key of this installation. Keys that one call names together must share a part in braces, as `{12}`: a cluster keeps
        them in one place then."""
        return ":".join(map(str, [self._address.name, *parts] if self._address.name else parts))

    async def ask(self, operation: str, question: Callable[[Client], Awaitable[T]]) -> T:
        """What Redis answers to a question; `operation` names it in metrics."""
        if self._breaker.is_open:
            raise Unavailable("Redis does not answer", retry_after=PROBE_SECONDS)
        return await self._ask(operation, question, self._call_seconds)

    async def ping(self) -> None:
        """Return when Redis answers."""
        await self._ask("ping", self._ping, self._call_seconds)

    async def probe(self) -> None:
        """While calls are refused, ask whether it answers again; until cancelled."""
        while True:
            # Spread, so that many processes do not ask at the same moment.
            await asyncio.sleep(PROBE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
            if self._breaker.is_open:
                with suppress(Unavailable):
                    await self._ask("ping", self._ping, _PROBE_CALL_SECONDS)

    async def start(self) -> None:
        """Find out how things stand. Raises StartError when it answers, but not to us."""
        try:
            async with asyncio.timeout(_PROBE_CALL_SECONDS):
                await self._ping(await self._connected())
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            raise self._refused(f"does not let us in ({error})") from error
        except (TimeoutError, RedisError, RedisClusterException, OSError) as error:
            if _is_untrusted(error):
                raise self._refused(f"cannot be trusted ({error})") from error
            log.warning("Redis does not answer: going on without it until it does", extra={"error": str(error)})

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            with suppress(RedisError, OSError):
                await self._client.aclose()
            self._client = None

    @staticmethod
    async def _ping(client: Client) -> None:
        await client.ping()

    async def _ask(self, operation: str, question: Callable[[Client], Awaitable[T]], seconds: float) -> T:
        try:
            with telemetry.BACK_END_SECONDS.labels("redis", operation).time():
                async with asyncio.timeout(seconds):
                    answer = await question(await self._connected())
        except (TimeoutError, RedisError, RedisClusterException, OSError, StartError) as error:
            trouble = str(error) or f"no answer in {seconds:g} s"
            telemetry.BACK_END_FAILURES.labels("redis", operation).inc()
            self._breaker.failed(trouble)
            raise Unavailable(f"Redis does not answer: {trouble}") from error
        self._breaker.answered()
        return answer

    async def _connected(self) -> Client:
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    self._client = await self._open()
        return self._client

    async def _open(self) -> Client:
        """Ask the first that answers whether it is one of a cluster."""
        options, trouble = self._options(), ""
        for host, port in self._address.hosts:
            client = driver.Redis(host=host, port=port, max_connections=_CONNECTIONS, **options)
            try:
                found: dict[str, Any] = await client.info("cluster")
            except (AuthenticationError, AuthorizationError, NoPermissionError):
                await client.aclose()
                raise
            except (RedisError, OSError) as error:
                await client.aclose()
                if _is_untrusted(error):
                    raise
                trouble = str(error)
                continue
            if not found.get("cluster_enabled"):
                if len(self._address.hosts) > 1:
                    await client.aclose()
                    raise self._refused("is several servers that are no cluster")
                return client
            await client.aclose()
            return await self._open_cluster(options)
        raise NoConnection(trouble)

    async def _open_cluster(self, options: dict[str, Any]) -> Client:
        nodes = [ClusterNode(host, port) for host, port in self._address.hosts]
        cluster = driver.RedisCluster(startup_nodes=nodes, max_connections=_CONNECTIONS, **options)
        await cluster.initialize()
        return cluster

    def _options(self) -> dict[str, Any]:
        address = self._address
        secure = {
            "ssl": True,
            "ssl_ca_certs": address.options.get("ca"),
            "ssl_certfile": address.options.get("cert"),
            "ssl_keyfile": address.options.get("key"),
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        }
        return {
            "username": address.user or None,
            "password": address.password or None,
            "protocol": 2,
            "socket_connect_timeout": self._call_seconds / 2,
            "socket_timeout": self._call_seconds,
            # A connection that the server has closed meanwhile is noticed when it is used: then another one is taken.
            "retry": Retry(NoBackoff(), 1, supported_errors=(NoConnection,)),
            **(secure if self._tls() else {}),
        }

    def _tls(self) -> bool:
        try:
            return self._address.tls() is not None
        except OSError as error:
            raise StartError(
                f"a file that STONECHAT_REDIS names cannot be used ({error}): correct ca, cert or key in it"
            ) from error

    def _refused(self, why: str) -> StartError:
        return StartError(f"Redis at {', '.join(self._address.host_ports())} {why}: correct STONECHAT_REDIS")


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


@asynccontextmanager
async def open_redis(address: Address, clock: Clock, call_seconds: float = CALL_SECONDS) -> AsyncIterator[Redis]:
    """A session for as long as the block lasts. Raises StartError when Redis answers and does not let us in."""
    redis = Redis(address, clock, call_seconds)
    try:
        await redis.start()
        async with owned(redis.probe(), "redis probe"):
            yield redis
    finally:
        await redis.close()
