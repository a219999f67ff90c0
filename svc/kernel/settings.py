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

from svc.kernel.errors import StartError


def _setting(env: str, default: Any, doc: str, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"env": env, "doc": doc, "low": low, "high": high})


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
    password_cost: str = _setting(
        "STONECHAT_PASSWORD_COST", "normal", "`normal` (argon2id, RFC 9106 second choice) or `low`, for tests only"
    )

    def __post_init__(self) -> None:
        self.listen_address()
        self.metrics_address()
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

    def run_dir(self) -> Path:
        """What exists only while a process runs: lock, sockets, secrets between processes."""
        return self.data_dir / "run"

    def inner_file(self) -> Path:
        """Where a running process says how its operator's commands reach the inner services."""
        return self.run_dir() / "inner.json"


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
