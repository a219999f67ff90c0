"""Where a back end is, and how to get in: one URL each.

    scheme://[user:password@]host[:port][,host[:port]…][/name][?option=value&…]

`name` is what keeps several installations apart on one back end: the keyspace, the database, the path, the prefix of topics.
User and password are percent-encoded where they need it (RFC 3986). TLS is on as soon as `tls=on` or `ca` is given.
"""

import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

_TLS = frozenset({"tls", "ca", "cert", "key"})


@dataclass(frozen=True, slots=True)
class Scheme:
    """What the URL of one kind of back end may say. `options` besides those of TLS, each with what it means."""

    name: str
    port: int
    default_name: str
    options: dict[str, str]

    def example(self) -> str:
        """A URL as it may look."""
        return f"{self.name}://host:{self.port}" + (f"/{self.default_name}" if self.default_name else "")


KAFKA = Scheme("kafka", 9092, "", {"sasl": "PLAIN or SCRAM-SHA-512", "replication": "replicas of each topic; 3"})
CASSANDRA = Scheme(
    "cassandra",
    9042,
    "stonechat",
    {"dc": "the local data centre; datacenter1", "replication": "replicas of each row; 3"},
)
MYSQL = Scheme("mysql", 3306, "stonechat", {})
REDIS = Scheme("redis", 6379, "", {})
ZOOKEEPER = Scheme("zookeeper", 2181, "stonechat", {})


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed URL. `hosts` are (host, port); `password` is never shown."""

    hosts: tuple[tuple[str, int], ...]
    name: str
    user: str = ""
    password: str = field(default="", repr=False)
    options: dict[str, str] = field(default_factory=dict)

    def host_ports(self) -> list[str]:
        """Each as `host:port`."""
        return [f"{host}:{port}" for host, port in self.hosts]

    def option(self, name: str, default: str) -> str:
        """The value of an option."""
        return self.options.get(name, default)

    def tls(self) -> ssl.SSLContext | None:
        """What to check the other side with, and what to show it; None: a plain connection.

        Raises OSError or ssl.SSLError when a file of it cannot be read.
        """
        if self.options.get("tls") != "on" and "ca" not in self.options:
            return None
        context = ssl.create_default_context(cafile=self.options.get("ca"))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if "cert" in self.options:
            context.load_cert_chain(self.options["cert"], self.options.get("key"))
        return context


def parse(scheme: Scheme, url: str) -> Address:
    """The address that a URL names. Raises ValueError saying what is wrong with it, without its password."""
    parts = urlsplit(url)
    if parts.scheme != scheme.name:
        raise ValueError(f"must begin with {scheme.name}://, as {scheme.example()}")
    credentials, at, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    if at and not user:
        raise ValueError("a user must stand before the @")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = _TLS | scheme.options.keys()
    if unknown := sorted(options.keys() - known):
        raise ValueError(f"has no option {unknown[0]}; there are {', '.join(sorted(known))}")
    if options.get("tls", "on") not in ("on", "off"):
        raise ValueError("tls must be on or off")
    name = parts.path.strip("/") or scheme.default_name
    return Address(
        tuple(_host(text, scheme) for text in hosts.split(",")), name, unquote(user), unquote(password), options
    )


def shown(url: str) -> str:
    """The URL with stars for its password."""
    before, at, after = url.rpartition("@")
    if not at:
        return url
    scheme, _, credentials = before.partition("://")
    return f"{scheme}://{credentials.partition(':')[0]}:***@{after}"


def _host(text: str, scheme: Scheme) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):  # no port: also an IPv6 address in brackets
        host, port = text, str(scheme.port)
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"must name hosts, as {scheme.example()}")
    return host.strip("[]"), int(port)
