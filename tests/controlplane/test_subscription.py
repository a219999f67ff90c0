"""What an Envoy is told, by the rules of the delta protocol."""

from hypothesis import given
from hypothesis import strategies as st

from svc.controlplane.snapshot import CLUSTER, ENDPOINTS, LISTENER, ROUTES, Snapshot, resource, snapshot
from svc.controlplane.subscription import DeltaStream, Request, Update


def world(**bodies: str) -> Snapshot:
    """Endpoints by name."""
    return snapshot(resource(ENDPOINTS, name, body.encode()) for name, body in bodies.items())


def told(updates: list[Update]) -> list[tuple[list[str], list[str]]]:
    """Names sent and names removed, by update."""
    return [([each.name for each in update.resources], list(update.removed)) for update in updates]


def asked(*names: str, **known: str) -> DeltaStream:
    stream = DeltaStream()
    stream.receive(Request(ENDPOINTS, subscribe=names, initial_versions=known))
    return stream


def answer(stream: DeltaStream, updates: list[Update], refusal: str = "") -> None:
    for update in updates:
        stream.receive(Request(update.type_url, nonce=update.nonce, refusal=refusal))


def test_nothing_is_told_unasked():
    assert DeltaStream().due(world(a="1")) == []


def test_what_was_asked_for_is_told_once():
    stream = asked("a")
    updates = stream.due(world(a="1", b="1"))
    assert told(updates) == [(["a"], [])]
    answer(stream, updates)
    assert stream.due(world(a="1", b="2")) == []


def test_a_name_that_does_not_exist_is_answered_as_removed():
    """So that Envoy does not wait for it."""
    assert told(asked("a", "nobody").due(world(a="1"))) == [(["a"], ["nobody"])]


def test_a_change_is_told_after_the_answer_to_the_one_before():
    stream = asked("a")
    first = stream.due(world(a="1"))
    assert stream.due(world(a="2")) == []
    assert stream.due(world(a="3")) == []
    answer(stream, first)
    (update,) = stream.due(world(a="3"))
    assert update.resources[0].body == b"3"


def test_a_refused_version_is_not_told_again_and_a_newer_one_is():
    stream = asked("a")
    answer(stream, stream.due(world(a="bad")), refusal="no")
    assert stream.due(world(a="bad")) == []
    assert told(stream.due(world(a="good"))) == [(["a"], [])]


def test_an_answer_to_something_else_is_none():
    stream = asked("a")
    stream.due(world(a="1"))
    stream.receive(Request(ENDPOINTS, nonce="of another stream"))
    assert stream.due(world(a="2")) == []


def test_a_name_asked_for_again_is_told_again():
    """Envoy does so while it warms a cluster; without an answer it would wait."""
    stream = asked("a")
    answer(stream, stream.due(world(a="1")))
    stream.receive(Request(ENDPOINTS, unsubscribe=("a",)))
    stream.receive(Request(ENDPOINTS, subscribe=("a",)))
    assert told(stream.due(world(a="1"))) == [(["a"], [])]
    stream = asked("a")
    answer(stream, stream.due(world(a="1")))
    stream.receive(Request(ENDPOINTS, subscribe=("a",)))
    assert told(stream.due(world(a="1"))) == [(["a"], [])]


def test_what_is_no_longer_asked_for_is_told_no_more():
    stream = asked("a", "b")
    answer(stream, stream.due(world(a="1", b="1")))
    stream.receive(Request(ENDPOINTS, unsubscribe=("a",)))
    assert told(stream.due(world(a="2", b="2"))) == [(["b"], [])]


def test_who_asks_for_everything_learns_what_comes_changes_and_goes():
    stream = DeltaStream()
    stream.receive(Request(ENDPOINTS))
    for now, expected in (
        (world(a="1"), (["a"], [])),
        (world(a="1", b="1"), (["b"], [])),
        (world(a="2", b="1"), (["a"], [])),
        (world(b="1"), ([], ["a"])),
    ):
        updates = stream.due(now)
        assert told(updates) == [expected]
        answer(stream, updates)


def test_who_asks_for_everything_hears_that_there_is_nothing():
    """Envoy's start waits for this."""
    for request in (Request(CLUSTER), Request(CLUSTER, subscribe=("*",))):
        stream = DeltaStream()
        stream.receive(request)
        assert told(stream.due(world())) == [([], [])]


def test_everything_and_a_name_can_be_asked_for_and_given_up_apart():
    stream = asked("*", "a")
    answer(stream, stream.due(world(a="1", b="1")))
    stream.receive(Request(ENDPOINTS, unsubscribe=("*",)))
    assert told(stream.due(world(a="2", b="2"))) == [(["a"], [])]


def test_an_envoy_that_kept_running_is_told_only_what_changed():
    now = world(a="1", b="2", c="3")
    versions = {name: each.version for name, each in now.of(ENDPOINTS).items()}
    stream = asked("a", "b", "gone", a=versions["a"], b="older", gone="1")
    assert told(stream.due(now)) == [(["b"], ["gone"])]
    assert asked("a", a=versions["a"]).due(now) == []


def test_what_is_referred_to_comes_first():
    everything = snapshot(resource(kind, "x", b"") for kind in (ROUTES, LISTENER, ENDPOINTS, CLUSTER))
    stream = DeltaStream()
    for kind in (LISTENER, ROUTES, CLUSTER, ENDPOINTS):
        stream.receive(Request(kind, subscribe=("x",)))
    assert [update.type_url for update in stream.due(everything)] == [CLUSTER, ENDPOINTS, LISTENER, ROUTES]


def test_a_kind_that_is_not_served_is_answered():
    stream = DeltaStream()
    stream.receive(Request("type.googleapis.com/a.Secret", subscribe=("x",)))
    assert told(stream.due(world())) == [([], ["x"])]


NAMES = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("world"), st.dictionaries(NAMES, st.sampled_from("12"))),
        st.tuples(st.sampled_from(["subscribe", "unsubscribe"]), st.sampled_from(["a", "b", "c", "*"])),
        st.tuples(st.sampled_from(["answer", "reconnect"]), st.none()),
    ),
    max_size=30,
)


@given(everything=st.booleans(), steps=STEPS)
def test_an_envoy_that_takes_what_it_is_told_ends_with_what_there_is(everything, steps):
    """Whatever happens in between: changes, other wishes, answers that are late, a new stream."""
    now, wanted, held, pending = world(), {"*"} if everything else {"a"}, {}, []
    stream = DeltaStream()
    stream.receive(Request(ENDPOINTS, subscribe=tuple(wanted)))

    def settle() -> None:
        while updates := stream.due(now):
            take(updates)
            answer(stream, updates)

    def take(updates: list[Update]) -> None:
        for update in updates:
            held.update({each.name: each for each in update.resources})
            for name in update.removed:
                held.pop(name, None)

    for what, value in steps:
        if what == "world":
            now = world(**value)
        elif what == "subscribe":
            wanted.add(value)
            stream.receive(Request(ENDPOINTS, subscribe=(value,)))
        elif what == "unsubscribe":
            wanted.discard(value)
            stream.receive(Request(ENDPOINTS, unsubscribe=(value,)))
            if "*" not in wanted:
                held = {name: each for name, each in held.items() if name in wanted}
        elif what == "answer":
            answer(stream, pending)
            pending = []
        elif wanted:
            versions = {name: each.version for name, each in held.items()}
            stream, pending = DeltaStream(), []
            stream.receive(Request(ENDPOINTS, subscribe=tuple(sorted(wanted)), initial_versions=versions))
        updates = stream.due(now)
        take(updates)
        pending += updates
    answer(stream, pending)
    settle()
    names = set(now.of(ENDPOINTS)) if "*" in wanted else wanted & set(now.of(ENDPOINTS))
    assert {name: each.version for name, each in held.items()} == {
        name: now.of(ENDPOINTS)[name].version for name in names
    }
