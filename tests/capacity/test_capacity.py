"""A plan grows with what it must carry, fits what the core can do, and starts from what was measured."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc.capacity import tables
from svc.capacity.model import SHARDS, Inputs, inputs
from svc.capacity.sizing import frames_s, plan
from svc.kernel.errors import InvalidField

ROOT = Path(__file__).parents[2]
MILLIONS = [50e6, 200e6]

# More of it never needs less of anything.
DEMANDS = [
    "daily_users", "online_share", "messages_a_day", "peak_factor", "connects_a_day", "conversations", "group_share",
    "group_size", "reach", "message_bytes", "hot_days", "log_days", "registered", "hello_us", "accept_us", "deliver_us",
    "order_us", "relay_write_us", "relay_read_us", "kafka_request_us", "cassandra_request_us", "stream_kb", "row_bytes",
]  # fmt: skip
COUNTS = {"processes", "machines", "partitions", "cores", "TB", "GB", "Gbit/s", "TB a month", "$ a month"}


@given(
    st.sampled_from(DEMANDS),
    st.floats(0.05, 1.0),
    st.floats(1.01, 20.0),
    st.floats(1e4, 3e8),
)
def test_more_of_anything_never_needs_less(name: str, start: float, factor: float, users: float):
    """Whatever grows, no count falls: of machines, processes, partitions, bytes. (What one user pays may.)"""
    shares = ("online_share", "group_share", "reach")
    low = getattr(Inputs(), name) * start
    high = min(low * factor, 1.0) if name in shares else low * factor
    others = {"daily_users": users} if name != "daily_users" else {}
    less, more = plan(inputs(others | {name: low})), plan(inputs(others | {name: high}))
    for figure in less.figures.values():
        # of one message or one user, money falls as more come; a node more may spare frames, within what is rounded
        if figure.unit in COUNTS and figure.name != "price_a_user":
            assert more[figure.name] >= figure.value * (1 - 1e-6), figure.name


@given(st.floats(1e3, 3e9), st.floats(1, 1000), st.floats(0, 1), st.floats(2, 5000))
def test_what_fits_can_be_run(users: float, messages: float, groups: float, size: float):
    """Unless the plan says that it does not fit: every owner has a partition, every partition a shard, and no core of ours has
    more to do than was planned for."""
    given_inputs = inputs({"daily_users": users, "messages_a_day": messages, "group_share": groups, "group_size": size})
    made = plan(given_inputs)
    assert made.trouble or made["delivery"] <= made["partitions"] <= SHARDS
    assert made["streams"] / made["messaging"] <= given_inputs.streams_a_node
    # What the costs say alone, without what is shared between messages: the processes must at least carry that.
    cores = made["messages_s"] * given_inputs.order_us / 1e6
    assert cores <= made["delivery"] * given_inputs.busy
    cores = (made["messages_s"] * given_inputs.accept_us + made["pushes_s"] * given_inputs.deliver_us) / 1e6
    assert cores <= made["messaging"] * given_inputs.busy
    for name in ("messaging", "delivery", "process_machines", "edge_machines", "kafka_machines", "cassandra_machines"):
        assert made[name] % 3 == 0, name  # as many in each zone


@given(st.floats(1, 1e8), st.floats(1, 1e7))
def test_frames_are_never_more_than_items_or_rounds(items: float, pairs: float):
    """Alone each item is a frame; together never more than one frame a round of each pair."""
    frames = frames_s(items, pairs, 4.0)
    assert 0 < frames <= min(items, pairs * 250) * (1 + 1e-9)
    assert frames_s(items, pairs * 2, 4.0) >= frames * (1 - 1e-9)


def test_a_load_beyond_one_installation_is_told():
    """It is no plan, and the command says so."""
    assert any("shards" in what for what in plan(inputs({"daily_users": 5e9})).trouble)
    assert any("zones" in what for what in plan(inputs({"busy": 0.7})).trouble)
    assert plan(inputs({"daily_users": 200e6})).trouble == []


def test_the_target_is_the_design_s():
    """200 million users a day: 16.7 million streams, 694,000 messages a second at the peak."""
    made = plan(inputs({"daily_users": 200e6}))
    assert round(made["streams"] / 1e6, 1) == 16.7
    assert round(made["messages_s"], -3) == 694_000


def test_costs_are_those_that_were_measured():
    """What one process with everything in it was measured to cost is what the shares of its parts add up to: a bench that gives
    other figures asks for other inputs. A one-to-one message has two pushes (bench/README.md)."""
    results, i = (ROOT / "bench" / "RESULTS.md").read_text(), Inputs()
    heads, rows = re.search(r"\| messages/s \| p50 ms (.*)\n\|[-|]+\n((?:\| .*\n)+)", results).groups()  # type: ignore[union-attr]
    names = ["messages/s", "p50 ms", *(head.strip() for head in heads.strip(" |").split("|"))]
    row = next(cells for line in rows.splitlines() if (cells := line.strip("| ").split(" | "))[0] == "2000")
    measured = dict(zip(names, row, strict=True))
    assert i.accept_us + i.order_us + 2 * i.deliver_us == pytest.approx(float(measured["server µs"]), rel=0.15)
    assert i.edge_accept_us + 2 * i.edge_deliver_us == pytest.approx(float(measured["envoy µs"]), rel=0.15)

    def figure(name: str) -> float:
        return float(re.search(rf"\| {re.escape(name)} \| ([\d.,]+)", results)[1].replace(",", ""))  # type: ignore[index]

    told = {
        line.split(" | ")[0]: line.strip(" |").split(" | ") for line in results.splitlines() if line.startswith("| ")
    }
    (kafka,), (cassandra,), (write,), (read,) = (
        [cells for head, cells in told.items() if head.startswith(f"| {start}")]
        for start in ("Kafka, a record", "Cassandra, event row", "relay, an owner", "relay, a node")
    )
    assert [float(cell) for cell in kafka[-2:]] == [i.kafka_request_us, i.kafka_record_us]
    assert [float(cell) for cell in cassandra[-2:]] == [i.cassandra_request_us, i.cassandra_message_us]
    assert [float(write[-2]), float(read[-2])] == [i.relay_write_us, i.relay_read_us]
    assert i.stream_kb == pytest.approx(figure("idle stream: server, kB"), rel=0.15)
    assert i.edge_stream_kb == pytest.approx(figure("idle stream: envoy, kB"), rel=0.15)


def test_every_formula_names_what_there_is():
    """A reader can follow each figure: the names in its formula are inputs, or figures above it."""
    made = plan(Inputs())
    known = {item.name for item in fields(Inputs)}
    for figure in made.figures.values():
        assert set(re.findall(r"[a-z]+_[a-z_]+", figure.formula)) <= known, figure.name
        known.add(figure.name)


def test_every_input_counts():
    """An input that changes nothing would be a lie in the table."""
    base = plan(inputs({"daily_users": 200e6}))
    for item in fields(Inputs):
        if item.name == "daily_users":
            continue
        value = getattr(base.inputs, item.name)
        for factor in (0.01, 0.5, 1.9, 50.0):
            try:
                other = plan(inputs({"daily_users": 200e6, item.name: value * factor}))
            except InvalidField:
                continue
            if any(other[name] != figure.value for name, figure in base.figures.items()):
                break
        else:
            pytest.fail(f"{item.name} changes nothing")


@pytest.mark.parametrize(
    ("name", "value"), [("daily_usres", 1), ("reach", 1.5), ("busy", 0), ("daily_users", -1), ("cores", float("nan"))]
)
def test_a_wrong_input_is_named(name: str, value: float):
    with pytest.raises(InvalidField, match=name):
        inputs({name: value})


def test_the_architecture_has_the_tables_as_they_are():
    """Written by `stonechat capacity --markdown`."""
    page = (
        (ROOT / "ARCHITECTURE.md")
        .read_text()
        .split("<!-- capacity:")[1]
        .split("-->", 1)[1]
        .split("<!-- end of capacity -->")[0]
    )
    assert page.strip() == tables.page([plan(inputs({"daily_users": users})) for users in MILLIONS])


@pytest.mark.parametrize(
    ("value", "shown"),
    [(694_444.4, "694,000"), (1, "1"), (0.0372499, "0.0372"), (0, "0"), (2.0, "2"), (99.96, "100"), (1 / 12, "0.0833")],
)
def test_numerals_have_three_digits(value: float, shown: str):
    assert tables.numeral(value) == shown
