"""What a node knows of its conversations (protocol S5-S7)."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from svc.kernel.relay import Ack, Event, Item, Moved, NotOwner, Signal
from svc.messaging.subscriptions import LINGER_SECONDS, Requests, Subscriptions

NAME = "g1"
STREAM = "stream"


def asked(node: Subscriptions) -> Requests:
    """What it wants sent up the one stream there is."""
    return node.take_requests(lambda _: STREAM).get(STREAM, Requests())


class Heard:
    """A session that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def joined(self, conversation_id: str, head: int) -> None:
        self.told.append(("joined", head))

    def push(self, event: Event) -> None:
        self.told.append(("push", event.seq))

    def behind(self, conversation_id: str, head: int) -> None:
        self.told.append(("behind", head))

    def signal(self, signal: Signal) -> None:
        self.told.append(("signal", 0))


def event(seq: int, claim: int = 1) -> Event:
    return Event(NAME, seq, claim, b"", 16)


def live(head: int = 4, claim: int = 1) -> tuple[Subscriptions, Heard]:
    """A conversation that one session listens to."""
    node, session = Subscriptions(), Heard()
    node.join(session, NAME)
    asked(node)
    node.receive(Ack(NAME, head, claim), STREAM)
    session.told.clear()
    return node, session


def test_the_first_to_join_subscribes_and_waits_for_the_ack() -> None:
    """Until then everything else is ignored; then events above the head follow."""
    node, session = Subscriptions(), Heard()
    assert node.join(session, NAME) is None
    assert asked(node).subscribe == [NAME]
    for item in (event(5), Moved(NAME, 9), Ack(NAME, 6, 1), event(6), event(7)):
        node.receive(item, STREAM)
    assert session.told == [("joined", 6), ("push", 7)]


def test_who_joins_later_reads_the_newest_seq_in_the_same_step() -> None:
    """No request, no wait, and the next event is pushed."""
    node, _ = live(head=4)
    session = Heard()
    assert node.join(session, NAME) == 4
    assert asked(node).subscribe == []
    node.receive(event(5), STREAM)
    assert session.told == [("push", 5)]


def test_next_is_pushed_old_is_dropped_a_gap_is_told() -> None:
    """One of the three, whoever relays whatever."""
    node, session = live(head=4)
    for item in (event(5), event(5), event(3), event(8), event(9), Moved(NAME, 12), Moved(NAME, 11)):
        node.receive(item, STREAM)
    assert session.told == [("push", 5), ("behind", 8), ("push", 9), ("behind", 12)]


def test_after_a_broken_stream_only_who_missed_something_is_told() -> None:
    """The same head: nothing is said. A higher one: Behind. A lower one: what is known stays, and it is counted."""
    for head, told, regressions in ((4, [], 0), (6, [("behind", 6)], 0), (2, [], 1)):
        node, session = live(head=4)
        node.broken(STREAM)
        assert asked(node).subscribe == [NAME]
        node.receive(event(5), STREAM)
        node.receive(Ack(NAME, head, 2), STREAM)
        assert session.told == told
        assert node.regressions == regressions
        assert node.last(NAME) == max(4, head)


def test_a_lower_claim_is_ignored_and_a_higher_one_asked() -> None:
    """A former owner changes nothing; after a new one all that was seen may have a gap."""
    node, session = live(head=4, claim=5)
    node.receive(event(5, claim=4), STREAM)
    node.receive(Ack(NAME, 9, 4), STREAM)
    assert session.told == []
    node.receive(event(6, claim=6), STREAM)
    assert asked(node).subscribe == [NAME]
    node.receive(Ack(NAME, 6, 6), STREAM)
    assert session.told == [("behind", 6)]


def test_not_owner_is_asked_again_but_not_at_once() -> None:
    """The conversation is pending until somebody acknowledges it. Two who disagree on who owns it do not stay busy with it."""
    node, session = live(head=4)
    node.receive(NotOwner(NAME), STREAM)
    assert asked(node).subscribe == []
    node.retry()
    assert asked(node).subscribe == [NAME]
    node.receive(event(5), STREAM)
    assert session.told == []


def test_a_conversation_nobody_listens_to_lingers_and_then_goes() -> None:
    """Whoever returns in time finds it live; later it is subscribed anew."""
    node, session = live(head=4)
    node.leave(session, [NAME], now=100.0)
    node.receive(event(5), STREAM)
    node.expire(100.0 + LINGER_SECONDS - 0.1)
    assert node.join(session, NAME) == 5
    node.expire(1e9)
    assert node.last(NAME) == 5
    node.leave(session, [NAME], now=200.0)
    node.expire(200.0 + LINGER_SECONDS)
    assert asked(node).unsubscribe == [NAME]
    assert node.join(session, NAME) is None
    assert session.told == []


def test_who_does_not_own_any_more_is_not_believed() -> None:
    """What a former stream says of a conversation that is subscribed elsewhere by now."""
    node, session = live(head=4)
    node.reroute(lambda _: "other")
    wanted = node.take_requests(lambda _: "other")
    assert (wanted[STREAM].unsubscribe, wanted["other"].subscribe) == ([NAME], [NAME])
    node.receive(NotOwner(NAME), STREAM)
    node.receive(Ack(NAME, 6, 2), "other")
    assert session.told == [("behind", 6)]
    node.receive(event(7, claim=2), "other")
    assert session.told == [("behind", 6), ("push", 7)]


def test_a_stream_that_breaks_takes_only_its_own_with_it() -> None:
    """What is subscribed elsewhere goes on."""
    node, session = Subscriptions(), Heard()
    for name in ("g1", "g2"):
        node.join(session, name)
    streams = {"g1": "one", "g2": "two"}
    node.take_requests(streams.get)
    for name in ("g1", "g2"):
        node.receive(Ack(name, 1, 1), streams[name])
    node.broken("one")
    assert (node.last("g1"), node.last("g2")) == (None, 1)
    assert list(node.take_requests(streams.get)) == ["one"]


def test_without_an_owner_a_conversation_waits_for_one() -> None:
    """It is asked for as soon as there is a stream to somebody who owns it: looked for when there is reason to, not each time
    that something is sent."""
    node, session = Subscriptions(), Heard()
    node.join(session, NAME)
    assert node.take_requests(lambda _: None) == {}
    assert asked(node).subscribe == []
    node.look_again()
    assert asked(node).subscribe == [NAME]
    node.broken(STREAM)
    assert node.take_requests(lambda _: None) == {}
    node.reroute(lambda _: STREAM)
    assert asked(node).subscribe == [NAME]
    node.receive(Ack(NAME, 4, 1), STREAM)
    assert session.told == [("joined", 4)]


def test_what_nobody_listens_to_any_more_is_not_asked_for() -> None:
    """Whatever it waits for: an owner, or to be asked again."""
    for suspended in (
        lambda node: node.take_requests(lambda _: None),
        lambda node: node.receive(NotOwner(NAME), STREAM),
    ):
        node, session = live()
        node.broken(STREAM)
        node.join(session, NAME)
        suspended(node)
        node.leave(session, [NAME], now=0.0)
        node.expire(LINGER_SECONDS)
        node.reroute(lambda _: STREAM)
        assert asked(node) == Requests()


class OneStream(RuleBasedStateMachine):
    """An owner that keeps S2 and S8, a node, and sessions that come and go, in any order; streams break at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.node = Subscriptions()
        self.head = 0
        self.claim = 1
        self.subscribed = False
        self.stream: list[Item] = []
        self.sessions: list[Heard] = []
        self.cursors: dict[int, int | None] = {}

    @rule()
    def joins(self) -> None:
        session = Heard()
        self.sessions.append(session)
        self.cursors[id(session)] = self.node.join(session, NAME)

    @rule(number=st.integers(0, 5), now=st.floats(0, 100))
    def leaves(self, number: int, now: float) -> None:
        if number < len(self.sessions):
            session = self.sessions.pop(number)
            self.node.leave(session, [NAME], now)

    @rule(now=st.floats(100, 300))
    def expires(self, now: float) -> None:
        self.node.expire(now)

    @rule()
    def asks(self) -> None:
        requests = asked(self.node)
        if requests.unsubscribe:
            self.subscribed = False
        if requests.subscribe:
            self.subscribed = True
            self.stream.append(Ack(NAME, self.head, self.claim))

    @rule(lost=st.booleans())
    def happens(self, lost: bool) -> None:
        self.head += 1
        if self.subscribed:
            # An overflow replaces what waits by how far it went.
            self.stream.append(Moved(NAME, self.head) if lost else event(self.head, self.claim))

    @rule(number=st.integers(1, 4))
    def arrives(self, number: int) -> None:
        arrived, self.stream = self.stream[:number], self.stream[number:]
        for item in arrived:
            self.node.receive(item, STREAM)

    @rule(new_owner=st.booleans())
    def breaks(self, new_owner: bool) -> None:
        self.stream.clear()
        self.subscribed = False
        self.claim += new_owner
        self.node.broken(STREAM)

    @invariant()
    def each_session_is_pushed_all_in_order_or_told(self) -> None:
        for session in self.sessions:
            cursor = self.cursors[id(session)]
            for what, seq in session.told:
                if what == "joined":
                    assert cursor is None
                elif what == "push":
                    assert cursor is not None
                    assert seq == cursor + 1
                else:
                    assert cursor is not None
                    assert seq > cursor
                cursor = seq
            session.told.clear()
            self.cursors[id(session)] = cursor
            assert cursor is None or cursor <= self.head

    def teardown(self) -> None:
        """When everything has arrived, every session knows of everything."""
        for _ in range(2):
            self.asks()
            self.arrives(len(self.stream) or 1)
        self.each_session_is_pushed_all_in_order_or_told()
        for session in self.sessions:
            assert self.cursors[id(session)] == self.head


TestOneStream = OneStream.TestCase
TestOneStream.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
