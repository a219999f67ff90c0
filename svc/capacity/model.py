"""What a plan is made from. Each input has a default, a unit, what it means, and where its default comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from svc.kernel.errors import InvalidField

LADDER = "bench/RESULTS.md, ladder at 2000/s"
UNIT = "bench/RESULTS.md, what one thing costs"
ASSUMED = "assumed"
DESIGN = "the target"

SHARDS = 4096
"""A conversation hashes to one of so many shards, a shard belongs to a partition: no more partitions than shards."""


def _input(default: float, unit: str, doc: str, source: str = ASSUMED) -> Any:
    return field(default=default, metadata={"unit": unit, "doc": doc, "source": source})


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that a plan depends on."""

    daily_users: float = _input(50e6, "", "users who come on a day", DESIGN)
    online_share: float = _input(1 / 12, "", "of them, those who hold a stream at the peak", DESIGN)
    messages_a_day: float = _input(100, "", "messages that one of them sends a day", DESIGN)
    peak_factor: float = _input(3, "", "a second of the peak over a second of the mean", DESIGN)
    connects_a_day: float = _input(10, "", "streams that one of them opens a day")
    conversations: float = _input(20, "", "conversations that a session is told of")
    group_share: float = _input(0.3, "", "messages that go to a group")
    group_size: float = _input(20, "", "members of the group that a message goes to, averaged over messages")
    reach: float = _input(0.3, "", "of the other members, those who hold a stream when a message comes")
    message_bytes: float = _input(300, "B", "content of a message", "bench/README.md, the load model")
    hot_days: float = _input(30, "days", "messages stay in Cassandra, then they move to the object store", DESIGN)
    cold_years: float = _input(1, "years", "and stay there, in this plan")
    log_days: float = _input(7, "days", "Kafka keeps records and announcements", DESIGN)
    registered: float = _input(3, "", "accounts for each daily user")
    replicas: float = _input(3, "", "copies in Kafka and Cassandra", DESIGN)

    accept_us: float = _input(230, "µs", "messaging, a message: from its frame to the log", LADDER + ", 49 % of server")
    deliver_us: float = _input(57, "µs", "messaging, an event to one session", LADDER + ", 24 % of server, two pushes")
    order_us: float = _input(127, "µs", "delivery, a message: its place and its rows", LADDER + ", 27 % of server")
    relay_write_us: float = _input(54, "µs", "delivery, a frame to a node", UNIT)
    relay_read_us: float = _input(53, "µs", "messaging, a frame from an owner", UNIT)
    hello_us: float = _input(5000, "µs", "messaging, a session that begins", "bench/RESULTS.md, Missed, and why")
    edge_accept_us: float = _input(43, "µs", "Envoy, a message", LADDER + ", envoy less two deliveries")
    edge_deliver_us: float = _input(15, "µs", "Envoy, an event to one session", "bench/RESULTS.md, group of 500")
    edge_connect_us: float = _input(1000, "µs", "Envoy, a connection with its TLS handshake")
    kafka_request_us: float = _input(418, "µs", "Kafka, all replicas: a request to append", UNIT)
    kafka_record_us: float = _input(9.1, "µs", "Kafka, all replicas: a record in it", UNIT)
    kafka_fetch_us: float = _input(150, "µs", "Kafka: a fetch of an owner")
    cassandra_request_us: float = _input(421, "µs", "Cassandra, all replicas: a batch", UNIT)
    cassandra_message_us: float = _input(
        315, "µs", "Cassandra, all replicas: event row and key row of a message in it", UNIT
    )
    cassandra_page_us: float = _input(1000, "µs", "Cassandra, quorum: a page of messages")
    mysql_query_us: float = _input(100, "µs", "MySQL, a row by its key")
    redis_command_us: float = _input(5, "µs", "Redis, a command in a pipeline")
    front_share: float = _input(0.1, "", "CPU of users, groups and history, for that of messaging")

    round_ms: float = _input(4, "ms", "rounds of an owner are so far apart", "svc/delivery")
    finish_ms: float = _input(20, "ms", "announcements of an owner", "svc/delivery")
    partitions_an_owner: float = _input(4, "", "so that load can be spread, and moves in small pieces")

    stream_kb: float = _input(43, "kB", "messaging, a stream", "bench/RESULTS.md, idle stream")
    edge_stream_kb: float = _input(42, "kB", "Envoy, a stream", "bench/RESULTS.md, idle stream")
    subscription_bytes: float = _input(250, "B", "a conversation of a session, at the node and at the owner each")
    record_bytes: float = _input(265, "B", "a message in Kafka beside its content, alone in its batch", UNIT)
    row_bytes: float = _input(205, "B", "a message in Cassandra beside its content: event row and key row", UNIT)
    cold_bytes: float = _input(100, "B", "a message in the object store beside its content")
    account_bytes: float = _input(3000, "B", "an account with devices, contacts and memberships in MySQL")
    hot_bytes: float = _input(2000, "B", "what Redis holds for a stream")

    busy: float = _input(0.5, "", "of each core, what is planned for at the peak: a zone of three may go")
    streams_a_node: float = _input(20_000, "", "streams that a messaging process takes at most")
    cores: float = _input(16, "", "of a machine")
    memory_gb: float = _input(64, "GB", "of a machine; a quarter stays free")
    network_gbit: float = _input(10, "Gbit/s", "of a machine; half of it is planned for")
    disk_tb: float = _input(8, "TB", "of a machine that stores")
    disk_fill: float = _input(0.5, "", "of it, what is used: compaction wants room")
    partitions_a_broker: float = _input(4000, "", "replicas of partitions that a broker carries")
    machine_price: float = _input(450, "$", "a month of a machine")
    storage_price: float = _input(900, "$", "a month of a machine that stores")
    object_price: float = _input(0.023, "$", "a GB and month in the object store")


def inputs(changed: Mapping[str, float]) -> Inputs:
    """The defaults, but for these. Raises InvalidField naming an input that there is not, or that is out of its range."""
    known = {item.name: item for item in fields(Inputs)}
    for name, value in changed.items():
        if name not in known:
            raise InvalidField(name, "is no input; `stonechat capacity` lists them all")
        share = name in _SHARES
        if not (0 <= value <= 1 if share else 0 <= value < 1e15) or (value == 0 and name not in _MAY_BE_ZERO):
            raise InvalidField(name, f"must be {'a share, up to 1' if share else 'positive'}, not {value:g}")
    return Inputs(**changed)


_SHARES = {"online_share", "group_share", "reach", "front_share", "busy", "disk_fill"}
_MAY_BE_ZERO = {"group_share", "reach", "front_share", "cold_years", "connects_a_day"}
