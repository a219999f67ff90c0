"""What Envoy is told, made from the real contract, and what must hold of it whatever is up."""

from dataclasses import replace

import pytest
from google.rpc.code_pb2 import Code

from stonechat.errors.v1.error_reason_pb2 import ErrorReason
from svc.controlplane.adapters.descriptors import installed_contract, read_contract
from svc.controlplane.model import Method, host_port
from svc.controlplane.replies import REPLIES
from svc.controlplane.routing import STANDARD_METHODS, table
from svc.controlplane.snapshot import CLUSTER, ENDPOINTS, LISTENER, Configuration, resource, snapshot
from svc.controlplane.wiring import publisher
from svc.kernel.registry import PUBLIC_METHODS, SERVICES, Instance, ProcessRegistry, Service

KEYS = Method("/a.A/Keys", http_get="/.well-known/jwks.json")
ROWS = (Service("a", ("a.A",), inner=("a.Inner",)),)
OPEN = frozenset({"/a.A/Keys"})


def by_path(*methods: Method) -> dict[str, object]:
    return {route.method.path: route for route in table([KEYS, *methods], ROWS, OPEN).routes}


def test_every_public_method_of_the_contract_is_routed_and_no_inner_one():
    routed = {route.method.path for route in table(installed_contract().methods).routes}
    for service in SERVICES:
        own = {method.path for method in installed_contract().methods if method.service in service.grpc_services}
        assert own <= routed
        assert not any(path.startswith(f"/{inner}/") for inner in service.inner for path in routed)


def test_a_method_needs_a_token_unless_the_table_says_otherwise():
    routes = table(installed_contract().methods).routes
    standard = {method.path for method in STANDARD_METHODS}
    assert {route.method.path for route in routes if not route.needs_token} == PUBLIC_METHODS | standard


def test_sessions_live_where_the_streams_are():
    assert {each.name: each.holds_sessions for each in table(installed_contract().methods).clusters} == {
        "messaging": True,
        "history": False,
        "users": False,
        "groups": False,
    }


def test_how_a_method_behaves_is_read_from_the_contract():
    methods = {method.path: method for method in installed_contract().methods}
    connect = methods["/stonechat.messaging.v1.MessagingService/Connect"]
    poll = methods["/stonechat.messaging.v1.MessagingService/Poll"]
    send = methods["/stonechat.messaging.v1.MessagingService/SendMessage"]
    assert (connect.streams_requests, connect.streams_responses) == (True, True)
    assert (poll.waits, poll.repeatable, poll.streams) == (True, True, False)
    assert (send.waits, send.repeatable, send.streams) == (False, False, False)


@pytest.mark.parametrize(
    ("methods", "rows", "public", "complaint"),
    [
        ([KEYS], (*ROWS, Service("b", ("b.B",))), OPEN, "no methods of"),
        ([KEYS], ROWS, OPEN | {"/a.A/Gone"}, "nothing routes them"),
        ([replace(KEYS, http_get="")], ROWS, OPEN, "tokens could not be checked"),
        ([KEYS], ROWS, frozenset(), "tokens could not be checked"),
    ],
)
def test_a_contract_that_contradicts_the_table_is_refused(methods, rows, public, complaint):
    with pytest.raises(ValueError, match=complaint):
        table(methods, rows, public)


def test_the_descriptors_hold_what_errors_are_made_of():
    """The edge turns only what is described into JSON; a contract need not import it."""
    once = installed_contract()
    assert b"google/rpc/error_details.proto" in once.descriptors
    assert read_contract(once.descriptors) == once


def test_the_edge_gives_reasons_of_the_contract_alone():
    known = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys()}  # noqa: SIM118 - not a dict
    assert {reply.error.reason for reply in REPLIES} <= known
    assert all(Code.Value(reply.error.code) for reply in REPLIES)


async def test_instances_never_change_a_listener_a_route_or_a_cluster():
    """A changed listener would cut every stream on it."""
    registry = ProcessRegistry()
    published = publisher(registry, "127.0.0.1", 8080, ())
    before = published.configuration.current
    await registry.register("messaging", Instance("127.0.0.1:1", "x"))
    after = publisher(registry, "127.0.0.1", 8080, ()).configuration.current
    changed = {
        (kind, name)
        for kind, resources in after.resources.items()
        for name, each in resources.items()
        if before.of(kind).get(name) != each
    }
    assert changed == {(ENDPOINTS, "messaging")}


def test_a_listener_knows_nothing_of_the_contract():
    """So that a grown contract leaves it, and the streams on it, as they are: what it needs to know travels by route."""
    current = publisher(ProcessRegistry(), "127.0.0.1", 8080, ()).configuration.current
    assert set(current.of(LISTENER)) == {"edge", "keys"}
    for listener in current.of(LISTENER).values():
        assert b"stonechat.messaging" not in listener.body


async def test_a_bad_address_in_the_registry_hides_no_other(caplog):
    registry = ProcessRegistry()
    await registry.register("messaging", Instance("nonsense", "x"))
    await registry.register("messaging", Instance("127.0.0.1:4000", "y"))
    current = publisher(registry, "127.0.0.1", 8080, ()).configuration.current
    assert b"127.0.0.1" in current.of(ENDPOINTS)["messaging"].body
    assert "an instance of messaging registered an address that is none" in caplog.text


def test_a_snapshot_with_a_hole_or_a_double_is_refused():
    with pytest.raises(ValueError, match="needs b"):
        snapshot([resource(CLUSTER, "a", b"", [(ENDPOINTS, "b")])])
    with pytest.raises(ValueError, match="two resources"):
        snapshot([resource(CLUSTER, "a", b"1"), resource(CLUSTER, "a", b"2")])


async def test_who_waits_for_a_change_gets_the_newest():
    first, second, third = (snapshot([resource(CLUSTER, "a", body)]) for body in (b"1", b"2", b"3"))
    configuration = Configuration(first)
    waiting = configuration.other_than(first)
    configuration.replace(second)
    configuration.replace(third)
    assert await waiting is third


def test_addresses():
    assert host_port("127.0.0.1:80") == ("127.0.0.1", 80)
    assert host_port("[::1]:80") == ("::1", 80)
    for bad in ("", "80", ":80", "host", "host:port"):
        with pytest.raises(ValueError, match=r"host:port|invalid literal"):
            host_port(bad)
