"""What the back ends need: Kafka, Cassandra, MySQL, Redis, ZooKeeper."""

import math
from collections.abc import Callable

from svc.capacity.plan import DAY_S, Plan, spread

_WATCHED = 50_000
_QUERIES = 3  # of a connect: token, device, list
_PAGES = 2
_COMMANDS = 4  # of a connect, beside the heads of its conversations
_REDIS_A_MACHINE = 4


def kafka(p: Plan) -> None:
    """Two topics: what was accepted, what was announced. Nodes and brokers are many: a request to append carries one record."""
    i, sent, partitions = p.inputs, p["messages_s"], p["partitions"]
    record = i.message_bytes + i.record_bytes
    stored = p["messages_s_mean"] * DAY_S * i.log_days * record * 2 * i.replicas / 1e12
    formula = "messages_s_mean × 86,400 × log_days × (message_bytes + record_bytes) × 2 topics × replicas"
    p.add("kafka_tb", stored, "TB", formula)
    gbit = sent * record * 8 / 1e9 * 2 * (1 + i.replicas)
    p.add("kafka_gbit", gbit, "Gbit/s", "messages_s × (message_bytes + record_bytes) × 2 topics × (1 + replicas)")
    entries = min(sent, partitions * 1000 / i.finish_ms)

    def cores(brokers: float) -> float:
        read_from = min(brokers, partitions / p["delivery"])
        announces = min(entries, p["delivery"] * read_from * 1000 / i.finish_ms)
        fetches = min(sent, p["delivery"] * read_from * 1000 / i.round_ms)
        requests = (sent + announces) * i.kafka_request_us + fetches * i.kafka_fetch_us
        return (requests + (sent + entries) * i.kafka_record_us) / 1e6 / i.busy

    floor = max(
        stored / (i.disk_tb * i.disk_fill),
        gbit / (0.5 * i.network_gbit),
        partitions * 2 * i.replicas / i.partitions_a_broker,
        i.replicas,
    )
    machines = spread(_enough(floor, lambda brokers: cores(brokers) / i.cores))
    formula = (
        "((messages_s + announcements) × kafka_request_us + fetches × kafka_fetch_us + records × kafka_record_us) / busy;"
        " one each a message, but of each owner and broker at most one fetch a round_ms, announcement a finish_ms"
    )
    p.add("kafka_cores", cores(machines), "cores", formula)
    formula = (
        "max(kafka_tb / (disk_tb × disk_fill), kafka_gbit / ½ network_gbit, kafka_cores / cores,"
        " partitions × 2 topics × replicas / partitions_a_broker)"
    )
    p.add("kafka_machines", machines, "machines", formula)


def cassandra(p: Plan) -> None:
    """In a large ring few conversations of a round have the same replicas: a batch holds one message."""
    i = p.inputs
    work = p["messages_s"] * (i.cassandra_request_us + i.cassandra_message_us)
    work += p["connects_s"] * _PAGES * i.cassandra_page_us
    formula = (
        "(messages_s × (cassandra_request_us + cassandra_message_us) + connects_s × 2 pages × cassandra_page_us) / busy"
    )
    cores = p.add("cassandra_cores", work / 1e6 / i.busy, "cores", formula)
    stored = p["messages_s_mean"] * DAY_S * i.hot_days * (i.message_bytes + i.row_bytes) * i.replicas / 1e12
    formula = "messages_s_mean × 86,400 × hot_days × (message_bytes + row_bytes) × replicas"
    p.add("cassandra_tb", stored, "TB", formula)
    needed = max(cores / i.cores, stored / (i.disk_tb * i.disk_fill), i.replicas)
    formula = "max(cassandra_cores / cores, cassandra_tb / (disk_tb × disk_fill), replicas)"
    p.add("cassandra_machines", spread(needed), "machines", formula)


def mysql(p: Plan) -> None:
    """One primary that is written, replicas that are read."""
    i = p.inputs
    stored = i.daily_users * i.registered * i.account_bytes / 1e12
    p.add("mysql_tb", stored, "TB", "daily_users × registered × account_bytes")
    cores = p["connects_s"] * _QUERIES * i.mysql_query_us / 1e6 / i.busy
    p.add("mysql_cores", cores, "cores", "connects_s × 3 queries × mysql_query_us / busy")
    p.add("mysql_machines", spread(cores / i.cores), "machines", "mysql_cores / cores, each with all of mysql_tb")
    room = i.disk_tb * i.disk_fill
    p.must(
        stored <= room, f"{stored:.1f} TB of accounts are more than the {room:g} TB of a machine: MySQL must be sharded"
    )


def redis(p: Plan) -> None:
    """One core a process; each has a replica."""
    i = p.inputs
    commands = p["connects_s"] * (_COMMANDS + i.conversations) + p["messages_s"] * 2
    memory = p.add("redis_gb", p["streams"] * i.hot_bytes / 1e9, "GB", "streams × hot_bytes")
    a_process = 0.75 * i.memory_gb / _REDIS_A_MACHINE
    needed = max(commands * i.redis_command_us / 1e6 / i.busy, memory / a_process)
    formula = (
        "2 × max((connects_s × (4 + conversations) + messages_s × 2) × redis_command_us / busy,"
        " redis_gb / (¾ memory_gb / 4))"
    )
    processes = p.add("redis_processes", spread(needed) * 2, "processes", formula)
    p.add("redis_machines", spread(processes / _REDIS_A_MACHINE), "machines", "redis_processes / 4")


def zookeeper(p: Plan) -> None:
    """Who is up, and who owns what."""
    entries = p["messaging"] + p["delivery"] + p["front"] + p["partitions"]
    p.add("zookeeper_entries", entries, "entries", "messaging + delivery + front + partitions")
    p.add("zookeeper_machines", 5, "machines", "5: it answers while two are gone")
    p.must(entries <= _WATCHED, f"{entries:.0f} ephemeral nodes are more than one ZooKeeper should watch")


def _enough(floor: float, needed: Callable[[float], float]) -> float:
    """The smallest whole number from `floor` on that is at least what is needed with that many."""
    count = math.ceil(floor)
    while needed(count) > count:
        count = max(count + 1, min(math.ceil(needed(count)), count * 11 // 10))
    return count
