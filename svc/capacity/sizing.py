"""From inputs to a plan: the load, the processes that carry it, the edge, and what it costs."""

import math

from svc.capacity.model import SHARDS, Inputs
from svc.capacity.plan import DAY_S, ZONES, Plan, spread
from svc.capacity.stores import cassandra, kafka, mysql, redis, zookeeper

_MONTH_DAYS = 30
_ROUNDS = 200


def plan(given: Inputs) -> Plan:
    """What it takes to serve them."""
    made = Plan(given)
    for part in (_load, _processes, _machines, _edge, kafka, cassandra, mysql, redis, zookeeper, _money):
        part(made)
    return made


def _load(p: Plan) -> None:
    i = p.inputs
    mean = i.daily_users * i.messages_a_day / DAY_S
    p.add("messages_s_mean", mean, "/s", "daily_users × messages_a_day / 86,400")
    p.add("messages_s", mean * i.peak_factor, "/s", "messages_s_mean × peak_factor")
    p.add("streams", i.daily_users * i.online_share, "", "daily_users × online_share")
    connects = i.daily_users * i.connects_a_day / DAY_S * i.peak_factor
    p.add("connects_s", connects, "/s", "daily_users × connects_a_day / 86,400 × peak_factor")
    others = (1 - i.group_share) + i.group_share * (i.group_size - 1)
    pushes = 1 + i.reach * others  # the sender's own session hears of it, too
    formula = "1 + reach × ((1 − group_share) + group_share × (group_size − 1))"
    p.add("pushes", pushes, "a message", formula)
    p.add("pushes_s", p["messages_s"] * pushes, "/s", "messages_s × pushes")


def _processes(p: Plan) -> None:
    """Nodes and owners depend on each other: what travels from each to each shares frames only while they are few."""
    i, sent, core = p.inputs, p["messages_s"], p.inputs.busy * 1e6
    owners, nodes, items, frames = 1.0, 1.0, 0.0, 0.0
    for _ in range(_ROUNDS):  # half of the way each time: it comes to rest
        items = sent * distinct(p["pushes"], nodes)
        frames = frames_s(items, owners * nodes, i.round_ms)
        work = (
            sent * i.accept_us + p["pushes_s"] * i.deliver_us + frames * i.relay_read_us + p["connects_s"] * i.hello_us
        )
        nodes = (nodes + max(1.0, work / core, p["streams"] / i.streams_a_node)) / 2
        owners = (owners + max(1.0, (sent * i.order_us + frames * i.relay_write_us) / core)) / 2
    owners, nodes = spread(owners), spread(nodes)
    p.add("relay_items_s", items, "/s", "messages_s × messaging × (1 − (1 − 1 / messaging)^pushes): each node once")
    formula = (
        "r × (1 − e^(−relay_items_s / r)); r = messaging × delivery × 1000 / round_ms: a round's items share a frame"
    )
    p.add("relay_frames_s", frames, "/s", formula)
    formula = (
        "max((messages_s × accept_us + pushes_s × deliver_us + relay_frames_s × relay_read_us + connects_s × hello_us) / busy,"
        " streams / streams_a_node)"
    )
    p.add("messaging", nodes, "processes", formula)
    p.add("delivery", owners, "processes", "(messages_s × order_us + relay_frames_s × relay_write_us) / busy")
    p.add("front", spread(nodes * i.front_share), "processes", "messaging × front_share: users, groups, history …")
    partitions = min(2.0 ** math.ceil(math.log2(owners * i.partitions_an_owner)), SHARDS)
    p.add("partitions", partitions, "partitions", "delivery × partitions_an_owner, up to a power of two; 4,096 at most")
    what = f"{owners:.0f} owners, but only {SHARDS} shards to share out: several installations are needed"
    p.must(owners <= SHARDS, what)


def distinct(pushes: float, nodes: float) -> float:
    """On how many of the nodes that many sessions lie, on average."""
    return nodes * (1 - (1 - 1 / nodes) ** pushes) if nodes > 1 else 1.0


def frames_s(items_s: float, pairs: float, round_ms: float) -> float:
    """Frames a second that carry so many items between so many pairs of owner and node, when those of one round share a frame:
    of a pair's rounds, those in which anything comes (Poisson)."""
    rounds = pairs * 1000 / round_ms
    return rounds * -math.expm1(-items_s / rounds)


def _machines(p: Plan) -> None:
    i, told = p.inputs, p["streams"] * p.inputs.conversations * p.inputs.subscription_bytes / 1e9
    node = p["streams"] * i.stream_kb / 1e6 + told
    p.add("messaging_gb", node, "GB", "streams × (stream_kb + conversations × subscription_bytes)")
    p.add("delivery_gb", told, "GB", "streams × conversations × subscription_bytes")
    machines = max((p["messaging"] + p["delivery"] + p["front"]) / (i.cores - 2), (node + told) / (0.75 * i.memory_gb))
    formula = "max((messaging + delivery + front) / (cores − 2), (messaging_gb + delivery_gb) / ¾ memory_gb)"
    p.add("process_machines", spread(machines), "machines", formula)
    spare = p["messaging"] * (1 - 1 / ZONES - i.busy)
    p.must(spare > 0, f"busy={i.busy:g}: two zones cannot carry what three did")
    again = p["streams"] / ZONES * i.hello_us / 1e6 / spare if spare > 0 else math.inf
    p.add(
        "zone_back_s",
        again,
        "s",
        "streams / 3 × hello_us / (messaging × (⅔ − busy)): until all of a lost zone are back",
    )


def _edge(p: Plan) -> None:
    i = p.inputs
    work = p["messages_s"] * i.edge_accept_us + p["pushes_s"] * i.edge_deliver_us + p["connects_s"] * i.edge_connect_us
    formula = "(messages_s × edge_accept_us + pushes_s × edge_deliver_us + connects_s × edge_connect_us) / busy"
    cores = p.add("edge_cores", work / 1e6 / i.busy, "cores", formula)
    memory = p.add("edge_gb", p["streams"] * i.edge_stream_kb / 1e6, "GB", "streams × edge_stream_kb")
    gbit = p["pushes_s"] * (i.message_bytes + i.record_bytes) * 8 / 1e9
    p.add("edge_gbit", gbit, "Gbit/s", "pushes_s × (message_bytes + record_bytes)")
    needed = max(cores / i.cores, memory / (0.75 * i.memory_gb), gbit / (0.5 * i.network_gbit))
    formula = (
        "1.5 × max(edge_cores / cores, edge_gb / ¾ memory_gb, edge_gbit / ½ network_gbit): two zones hold all streams"
    )
    p.add("edge_machines", spread(needed * ZONES / (ZONES - 1)), "machines", formula)


def _money(p: Plan) -> None:
    i = p.inputs
    computing = p["process_machines"] + p["edge_machines"] + p["redis_machines"] + p["zookeeper_machines"]
    storing = p["kafka_machines"] + p["cassandra_machines"] + p["mysql_machines"]
    p.add("machines", computing + storing, "machines", "all of them")
    messages = p["messages_s_mean"] * DAY_S * _MONTH_DAYS
    growth = messages * (i.message_bytes + i.cold_bytes) / 1e12
    p.add(
        "growth_tb", growth, "TB a month", "messages_s_mean × 86,400 × 30 × (message_bytes + cold_bytes): object store"
    )
    cold = p.add("object_tb", growth * 12 * i.cold_years, "TB", "growth_tb × 12 × cold_years")
    hot_price = i.storage_price / (i.disk_tb * 1e3 * i.disk_fill) * i.replicas
    p.add(
        "hot_gb_price", hot_price, "$ a GB and month", "storage_price / (disk_tb × disk_fill) × replicas: in Cassandra"
    )
    p.add("cold_gb_price", i.object_price, "$ a GB and month", "object_price")
    price = computing * i.machine_price + storing * i.storage_price + cold * 1e3 * i.object_price
    formula = "machines × machine_price, those of Kafka, Cassandra, MySQL × storage_price; object_tb × object_price"
    p.add("price", price, "$ a month", formula)
    p.add("price_a_user", price / i.daily_users, "$ a month", "price / daily_users")
    p.add("price_a_million", price / messages * 1e6, "$", "price / the messages of a month × 1,000,000")
