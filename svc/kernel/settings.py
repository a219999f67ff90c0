"""All settings: one frozen tree, read from the environment here and nowhere else.

A wrong value stops the start with the variable, the value and what was expected. Units stand in the names. The table in the
README is written from `table()` and compared by a test.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from svc.kernel import addresses
from svc.kernel.addresses import Address, Scheme
from svc.kernel.errors import StartError


def _setting(
    env: str, default: Any, doc: str, low: float | None = None, high: float | None = None, secret: bool = False
) -> Any:
    metadata = {"env": env, "doc": doc, "low": low, "high": high, "secret": secret}
    return field(default=default, repr=not secret, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting with its default: the whole product on one machine."""

    # ruff: noqa: RUF009 - `_setting` is dataclasses.field with metadata
    listen: str = _setting(
        "STONECHAT_LISTEN", "http://127.0.0.1:8080", "where Envoy listens for clients: `http://host:port`"
    )
    data_dir: Path = _setting(
        "STONECHAT_DATA_DIR",
        Path("data"),
        "folder of everything that is kept; made when missing, readable by its owner only",
    )
    metrics_listen: str = _setting(
        "STONECHAT_METRICS_LISTEN", "127.0.0.1:9464", "`host:port` of the Prometheus page `/metrics`; empty for none"
    )
    cors_origins: str = _setting(
        "STONECHAT_CORS_ORIGINS",
        "http://localhost,http://127.0.0.1",
        "origins whose web pages may call, comma-separated, any port",
    )
    log_format: str = _setting(
        "STONECHAT_LOG_FORMAT", "auto", "`json`, `text`, or `auto`: text on a terminal, else JSON"
    )
    log_level: str = _setting("STONECHAT_LOG_LEVEL", "INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`")
    trace_ratio: float = _setting(
        "STONECHAT_TRACE_RATIO", 0.01, "share of messages that are traced when the caller does not decide", 0, 1
    )
    otlp_endpoint: str = _setting(
        "STONECHAT_OTLP_ENDPOINT",
        "",
        "where traces are sent (OTLP over HTTP), besides the data folder; empty for nowhere",
    )
    partitions: int = _setting(
        "STONECHAT_PARTITIONS", 5, "partitions of the event log when it is made; fixed from then on", 1, 4096
    )
    send_timeout_ms: int = _setting(
        "STONECHAT_SEND_TIMEOUT_MS", 5000, "how long a send may wait for its answer", 100, 60_000
    )
    session_queue_bytes: int = _setting(
        "STONECHAT_SESSION_QUEUE_BYTES", 256 * 1024, "what may wait to be written to one session", 16 * 1024, 16 << 20
    )
    session_in_flight: int = _setting(
        "STONECHAT_SESSION_IN_FLIGHT", 100, "sends of one session that may wait for their answers", 1, 10_000
    )
    hello_admission: int = _setting(
        "STONECHAT_HELLO_ADMISSION",
        64,
        "sessions of a node that may say Hello at once; the rest is told when to come back",
        1,
    )
    calls_per_second: int = _setting(
        "STONECHAT_CALLS_PER_SECOND",
        100,
        "calls of one user and method a second, on average; five times as many at once",
        1,
    )
    group_max_members: int = _setting("STONECHAT_GROUP_MAX_MEMBERS", 100_000, "members a group may have", 2)
    access_token_seconds: int = _setting(
        "STONECHAT_ACCESS_TOKEN_SECONDS", 900, "how long an access token lasts", 5, 86_400
    )
    drain_seconds: int = _setting(
        "STONECHAT_DRAIN_SECONDS", 5, "how long a stopping process gives its sessions to move", 0, 3600
    )
    kafka: str = _setting(
        "STONECHAT_KAFKA",
        "",
        "the event log on Kafka: `kafka://host:9092`; empty: a file in the data folder",
        secret=True,
    )
    cassandra: str = _setting(
        "STONECHAT_CASSANDRA",
        "",
        "the message store on Cassandra: `cassandra://host:9042/keyspace`; empty: a file in the data folder",
        secret=True,
    )
    mysql: str = _setting(
        "STONECHAT_MYSQL",
        "",
        "users and groups on MySQL: `mysql://user:password@host:3306/database`; empty: files in the data folder",
        secret=True,
    )
    redis: str = _setting(
        "STONECHAT_REDIS", "", "what is hot on Redis: `redis://host:6379`; empty: memory of each process", secret=True
    )
    zookeeper: str = _setting(
        "STONECHAT_ZOOKEEPER",
        "",
        "who is up and who owns what on ZooKeeper: `zookeeper://host:2181/path`; empty: this process is the only one",
        secret=True,
    )
    master_keys: str = _setting(
        "STONECHAT_MASTER_KEYS",
        "",
        "what seals stored content on Cassandra: `version:base64 of 32 bytes`, comma-separated; the highest version seals",
        secret=True,
    )
    inner_token: str = _setting(
        "STONECHAT_INNER_TOKEN",
        "",
        "the secret by which the processes of one installation know each other, 32 characters at least; needed with ZooKeeper",
        secret=True,
    )
    inner_listen: str = _setting(
        "STONECHAT_INNER_LISTEN",
        "127.0.0.1:0",
        "`host:port` where this process serves Envoy and other processes, who must reach it there; port 0 is any free one",
    )
    password_cost: str = _setting(
        "STONECHAT_PASSWORD_COST", "normal", "`normal` (argon2id, RFC 9106 second choice) or `low`, for tests only"
    )

    def __post_init__(self) -> None:
        self.listen_address()
        self.metrics_address()
        self.inner_address()
        for name, scheme in _SCHEMES.items():
            self._address(name, scheme)
        if self.inner_token and len(self.inner_token) < _TOKEN_CHARACTERS:
            raise _wrong("STONECHAT_INNER_TOKEN", "***", f"at least {_TOKEN_CHARACTERS} characters")
        _one_of("STONECHAT_LOG_FORMAT", self.log_format, ("auto", "json", "text"))
        _one_of("STONECHAT_LOG_LEVEL", self.log_level, ("DEBUG", "INFO", "WARNING", "ERROR"))
        _one_of("STONECHAT_PASSWORD_COST", self.password_cost, ("normal", "low"))

    def listen_address(self) -> tuple[str, int]:
        """Host and port of the edge."""
        try:
            parts = urlsplit(self.listen)
            if parts.scheme != "http" or parts.path not in ("", "/"):
                raise ValueError
            return _host_port(parts.netloc)
        except ValueError:
            raise _wrong("STONECHAT_LISTEN", self.listen, "http://host:port") from None

    def metrics_address(self) -> tuple[str, int] | None:
        """Host and port of the metrics page, or None."""
        try:
            return _host_port(self.metrics_listen) if self.metrics_listen else None
        except ValueError:
            raise _wrong("STONECHAT_METRICS_LISTEN", self.metrics_listen, "host:port") from None

    def inner_address(self) -> tuple[str, int]:
        """Host and port of this process's gRPC server."""
        try:
            return _host_port(self.inner_listen)
        except ValueError:
            raise _wrong("STONECHAT_INNER_LISTEN", self.inner_listen, "host:port") from None

    def kafka_address(self) -> Address | None:
        """Where Kafka is, or None."""
        return self._address("kafka", addresses.KAFKA)

    def cassandra_address(self) -> Address | None:
        """Where Cassandra is, or None."""
        return self._address("cassandra", addresses.CASSANDRA)

    def mysql_address(self) -> Address | None:
        """Where MySQL is, or None."""
        return self._address("mysql", addresses.MYSQL)

    def redis_address(self) -> Address | None:
        """Where Redis is, or None."""
        return self._address("redis", addresses.REDIS)

    def zookeeper_address(self) -> Address | None:
        """Where ZooKeeper is, or None."""
        return self._address("zookeeper", addresses.ZOOKEEPER)

    def _address(self, name: str, scheme: Scheme) -> Address | None:
        url: str = getattr(self, name)
        if not url:
            return None
        try:
            return addresses.parse(scheme, url)
        except ValueError as error:
            told = f"{scheme.example()}; it {error}"
            raise _wrong(f"STONECHAT_{name.upper()}", addresses.shown(url), told) from None

    def run_dir(self) -> Path:
        """What exists only while a process runs: lock, sockets, secrets between processes."""
        return self.data_dir / "run"

    def inner_file(self) -> Path:
        """Where a running process says how its operator's commands reach the inner services."""
        return self.run_dir() / "inner.json"


_SCHEMES = {
    "kafka": addresses.KAFKA,
    "cassandra": addresses.CASSANDRA,
    "mysql": addresses.MYSQL,
    "redis": addresses.REDIS,
    "zookeeper": addresses.ZOOKEEPER,
}
_TOKEN_CHARACTERS = 32

# Read by `stonechat chat`, which may run in the same environment.
_OF_OTHERS = {"STONECHAT_PASSWORD"}


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this process. Raises StartError naming the variable, its value and what was expected."""
    values: dict[str, Any] = {}
    known = {setting.metadata["env"] for setting in fields(Settings)} | _OF_OTHERS
    for name in environment:
        if name.startswith("STONECHAT_") and name not in known:
            raise StartError(f"{name} is no setting; `stonechat settings` lists them all")
    for setting in fields(Settings):
        text = environment.get(setting.metadata["env"])
        if text is not None:
            values[setting.name] = _parse(setting.metadata, setting.default, text)
    return Settings(**values)


def for_tests(data_dir: Path, **overrides: Any) -> Settings:
    """A profile for tests: any free port, no metrics page, cheap passwords."""
    base = Settings(
        listen="http://127.0.0.1:0",
        data_dir=data_dir,
        metrics_listen="",
        password_cost="low",  # noqa: S106 - a cost, no password
        drain_seconds=0,
        trace_ratio=0.0,
    )
    return replace(base, **overrides)


def table() -> list[tuple[str, str, str]]:
    """(variable, default, what it is) of every setting, in order."""
    return [(item.metadata["env"], str(item.default), item.metadata["doc"]) for item in fields(Settings)]


def _parse(metadata: Mapping[str, Any], default: Any, text: str) -> Any:
    env, kind = metadata["env"], type(default)
    if isinstance(default, Path):
        return Path(text) if text else _raise(_wrong(env, text, "a path"))
    if kind is str:
        return text
    expected = "a whole number" if kind is int else "a number"
    try:
        value = kind(text)
    except ValueError:
        raise _wrong(env, text, expected) from None
    low, high = metadata["low"], metadata["high"]
    if not ((low is None or value >= low) and (high is None or value <= high)):  # so that NaN is out of range, too
        raise _wrong(
            env, text, f"{expected} from {low} to {high}" if high is not None else f"{expected} of at least {low}"
        )
    return value


def _raise(error: StartError) -> Any:
    raise error


def _wrong(env: str, value: str, expected: str) -> StartError:
    return StartError(f"{env}={value!r}: expected {expected}")


def _one_of(env: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise _wrong(env, value, "one of " + ", ".join(allowed))


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError
    return host.strip("[]"), int(port)
