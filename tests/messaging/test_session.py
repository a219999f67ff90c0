"""What a session belongs to and is told, whatever comes in which order (protocol S6, S10, S12)."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stonechat.messaging.v1.event_pb2 import Event as Told
from svc.kernel import relay
from svc.kernel.errors import DeviceRevoked, Draining
from svc.kernel.frames import conversation_event, frame_of, frame_of_event
from svc.kernel.ids import inbox_of
from svc.kernel.record import Kind
from svc.messaging.model import Head
from svc.messaging.session import Session
from svc.messaging.subscriptions import Subscriptions
from svc.messaging.wire import ProtoEncoder
from tests.messaging.world import ALICE, BOB, DIRECT, GROUP, identity, told

INBOX = inbox_of(ALICE)
STREAM = "stream"
CLAIM = 1


class Owner:
    """Says what an owner says, in the order in which a test wants it said."""

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self.heads: dict[str, int] = {}

    def acknowledge(self, conversation_id: str, head: int = 0) -> None:
        self.heads[conversation_id] = head
        self._subscriptions.take_requests(lambda _: STREAM)
        self._subscriptions.receive(relay.Ack(conversation_id, head, CLAIM), STREAM)

    def event(self, conversation_id: str, kind: Kind = Kind.MESSAGE, subjects: tuple[str, ...] = (), version: int = 0):
        seq = self.heads[conversation_id] = self.heads[conversation_id] + 1
        encoded = conversation_event(conversation_id, seq, seq, BOB, seq, "", seq, kind, b"")
        frame = frame_of_event(encoded)
        self._subscriptions.receive(relay.Event(conversation_id, seq, CLAIM, frame, kind, subjects, version), STREAM)

    def notice(self, kind: Kind, subject: str, version: int = 0) -> None:
        """Something that the user's inbox is told."""
        self.event(INBOX, kind, (subject,), version)

    def signal(self, conversation_id: str, key: str = "typing u2") -> None:
        frame = frame_of(Told(heartbeat={}))
        self._subscriptions.receive(relay.Signal(conversation_id, key, frame), STREAM)


class Stand:
    """A session of Alice that is greeted, with its inbox live, and in what a test says."""

    def __init__(self, *conversation_ids: str, greeted: bool = True) -> None:
        self.subscriptions = Subscriptions()
        self.owner = Owner(self.subscriptions)
        self.session = Session(identity(ALICE), self.subscriptions, ProtoEncoder(), 1 << 20, 0.0)
        self.session.join(INBOX)
        self.owner.acknowledge(INBOX)
        for conversation_id in conversation_ids:
            self.session.member(conversation_id, 1, True)
            self.owner.acknowledge(conversation_id)
        if greeted:
            self.session.greet(())

    def gap(self, conversation_id: str, head: int) -> None:
        """Events up to head are not relayed."""
        self.owner.heads[conversation_id] = head
        self.subscriptions.receive(relay.Moved(conversation_id, head), STREAM)

    def reassure(self, *conversation_ids: str) -> None:
        """It was looked up that the user is part of these."""
        self.session.reassured(self.session.doubts(), conversation_ids)

    def heard(self, conversation_id: str) -> list[str]:
        """What the session is told of a conversation, in short, since the last look."""
        found = []
        for event in told(self.session.outbox.take()):
            if event.HasField("behind") and event.behind.conversation_id == conversation_id:
                found.append(f"behind {event.behind.last_seq}")
            elif event.conversation_event.conversation_id == conversation_id:
                found.append(str(event.conversation_event.seq))
        return found


def test_a_session_is_told_of_what_it_joined_and_of_nothing_else():
    """Other sessions of the node may have more."""
    stand = Stand(DIRECT)
    other = Session(identity(BOB), stand.subscriptions, ProtoEncoder(), 1 << 20, 0.0)
    other.member(GROUP, 1, True)
    stand.owner.acknowledge(GROUP)
    other.greet(())
    for _ in range(2):
        stand.owner.event(DIRECT)
        stand.owner.event(GROUP)
    assert [event.conversation_event.conversation_id for event in told(other.outbox.take())] == [GROUP, GROUP]
    assert stand.heard(DIRECT) == ["1", "2"]


async def test_a_session_is_settled_when_all_it_joined_is_live():
    """Not sooner; it then knows where each conversation stands."""
    stand = Stand(greeted=False)
    session = stand.session
    session.join(DIRECT)
    session.join(GROUP)
    stand.owner.acknowledge(DIRECT, 5)
    assert not session._settled.is_set()
    stand.owner.acknowledge(GROUP, 7)
    await session.settled()
    assert session.heads == {INBOX: 0, DIRECT: 5, GROUP: 7}
    assert stand.heard(DIRECT) == []


def test_what_is_live_on_the_node_already_is_joined_at_once():
    """From the newest event on."""
    stand = Stand(DIRECT)
    stand.owner.event(DIRECT)
    second = Session(identity(ALICE, "laptop"), stand.subscriptions, ProtoEncoder(), 1 << 20, 0.0)
    second.join(DIRECT)
    assert second.heads == {DIRECT: 1}
    second.greet(())
    stand.owner.event(DIRECT)
    assert [event.conversation_event.seq for event in told(second.outbox.take())] == [2]


def test_who_leaves_a_conversation_is_told_nothing_more():
    """Neither events, nor that some were missed, nor signals."""
    stand = Stand(DIRECT, GROUP)
    stand.session.leave(GROUP)
    stand.owner.event(GROUP)
    stand.owner.signal(GROUP)
    stand.subscriptions.receive(relay.Moved(GROUP, 9), STREAM)
    assert stand.session.outbox.take() == b""
    stand.owner.event(DIRECT)
    assert stand.heard(DIRECT) == ["1"]


def test_a_removed_member_gets_the_removal_and_nothing_beyond():
    """Even if the inbox tells of it much later (promise of S10)."""
    stand = Stand(GROUP)
    stand.owner.event(GROUP)
    stand.owner.event(GROUP, Kind.MEMBERSHIP, (ALICE, BOB), version=2)
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == ["1", "2"]
    stand.owner.notice(Kind.LEFT, GROUP, version=2)
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == []


def test_a_removal_that_went_by_unseen_counts_before_anything_is_pushed_again():
    """The owner died with it, and another tells where the group stands (S7): nothing beyond, while it is looked up."""
    stand = Stand(GROUP)
    stand.owner.event(GROUP)
    stand.gap(GROUP, 3)
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == ["1"]
    assert not stand.session.sees(GROUP)
    stand.reassure(DIRECT)
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == []
    assert not stand.session.is_in(GROUP)


def test_who_still_is_a_member_after_a_gap_is_told_how_far_it_went():
    """What came while that was looked up included; then it is pushed again."""
    stand = Stand(GROUP)
    stand.owner.event(GROUP)
    stand.gap(GROUP, 3)
    stand.owner.event(GROUP)
    stand.reassure(GROUP)
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == ["1", "behind 4", "5"]
    assert stand.session.sees(GROUP)


def test_what_was_looked_up_before_another_gap_says_nothing_of_it():
    """Its removal may lie in the second."""
    stand = Stand(GROUP)
    stand.gap(GROUP, 3)
    doubts = stand.session.doubts()
    stand.gap(GROUP, 6)
    stand.session.reassured(doubts, {GROUP})
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == []
    stand.reassure(GROUP)
    assert stand.heard(GROUP) == ["behind 7"]


def test_a_removal_while_hello_is_answered_counts():
    """It was stored between the list, by which the session joined, and the word where the group stands (S10)."""
    stand = Stand(greeted=False)
    stand.session.member(GROUP, 1, True)
    stand.owner.acknowledge(GROUP, 5)
    stand.reassure()
    stand.session.greet([])
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == []


def test_the_removal_of_others_changes_nothing():
    """Nor does somebody's joining."""
    stand = Stand(GROUP)
    stand.owner.event(GROUP, Kind.MEMBERSHIP, (BOB,), version=2)
    stand.owner.event(GROUP, Kind.MEMBERSHIP, (), version=3)
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == ["1", "2", "3"]


def test_who_joins_in_the_middle_is_told_where_to_pull_from():
    """What is there already is not pushed; what comes is."""
    stand = Stand()
    stand.owner.notice(Kind.JOINED, GROUP, version=3)
    stand.owner.acknowledge(GROUP, 12)
    stand.reassure(GROUP)
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == ["behind 12", "13"]


def test_a_conversation_that_opens_is_joined():
    """Its first message reaches a device that did not know of it."""
    stand = Stand()
    stand.owner.notice(Kind.OPENED, DIRECT)
    stand.owner.acknowledge(DIRECT, 1)
    stand.owner.event(DIRECT)
    assert stand.heard(DIRECT) == ["behind 1", "2"]


def test_who_comes_back_after_a_removal_gets_events_again():
    """Removed in version 2, in again by version 3."""
    stand = Stand(GROUP)
    stand.owner.event(GROUP, Kind.MEMBERSHIP, (ALICE,), version=2)
    stand.owner.event(GROUP)
    stand.owner.event(GROUP, Kind.MEMBERSHIP, (), version=3)
    stand.owner.notice(Kind.LEFT, GROUP, version=2)
    stand.owner.notice(Kind.JOINED, GROUP, version=3)
    stand.reassure(GROUP)
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == ["1", "behind 3", "4"]


def test_news_that_are_older_than_the_list_are_ignored():
    """The list said version 5: a notice of version 4 on its way does not take the member out, nor one of 5 again."""
    stand = Stand()
    stand.session.member(GROUP, 5, True)
    stand.owner.acknowledge(GROUP)
    stand.owner.notice(Kind.LEFT, GROUP, version=4)
    stand.owner.notice(Kind.LEFT, GROUP, version=5)
    stand.owner.event(GROUP)
    assert stand.heard(GROUP) == ["1"]
    stand.session.member("g8", 5, False)
    stand.owner.notice(Kind.JOINED, "g8", version=4)
    assert not stand.session.is_in("g8")
    assert "g8" not in stand.session.conversations()


@given(st.permutations(range(1, 7)), st.integers(0, 63), st.lists(st.booleans(), min_size=6, max_size=6))
def test_the_newest_membership_wins_in_whatever_order_it_is_heard(
    order: list[int], member_bits: int, acknowledged: list[bool]
):
    """However many changes there were, and whether the owner had answered in between."""
    stand = Stand()
    for version, answered in zip(order, acknowledged, strict=True):
        stand.session.member(GROUP, version, bool(member_bits >> (version - 1) & 1))
        if answered:
            stand.owner.acknowledge(GROUP)
    stand.owner.acknowledge(GROUP)
    stand.session.outbox.take()
    stand.owner.event(GROUP)
    newest = bool(member_bits >> 5 & 1)
    assert stand.heard(GROUP) == (["1"] if newest else [])


def test_a_device_that_is_signed_out_ends_its_session():
    """It alone, and it is told why; nothing is queued any more."""
    stand = Stand(DIRECT)
    laptop = Session(identity(ALICE, "laptop"), stand.subscriptions, ProtoEncoder(), 1 << 20, 0.0)
    laptop.join(INBOX)
    stand.owner.notice(Kind.DEVICE_SIGNED_OUT, "phone")
    assert isinstance(stand.session.error, DeviceRevoked)
    assert stand.session.ended.is_set()
    assert not laptop.ended.is_set()
    stand.session.outbox.take()
    stand.owner.event(DIRECT)
    assert stand.session.outbox.take() == b""


async def test_a_session_ends_once():
    """The first reason counts, and whoever waits for it to settle goes on."""
    stand = Stand()
    stand.session.join(DIRECT)
    stand.session.end(Draining("first"))
    stand.session.end(DeviceRevoked("second"))
    stand.session.fail(ValueError("third"))
    await stand.session.settled()
    await stand.session.outbox.wait()
    assert stand.session.error is not None
    assert stand.session.error.message == "first"


def test_an_unforeseen_failure_ends_it_without_telling_what_it_was(caplog: pytest.LogCaptureFixture):
    """The log has it."""
    stand = Stand()
    stand.session.fail(ValueError("a secret of the inside"))
    assert stand.session.error is not None
    assert stand.session.error.code == "INTERNAL"
    assert "secret" not in stand.session.error.message
    assert "a secret of the inside" in caplog.text


def page(session: Session, last_seq: int) -> None:
    """The page of Hello that tells of the direct conversation, as the store had it."""
    head = Head(DIRECT, last_seq, 0, 0, 0)
    session.page([head], session.encoder.hello_page([head], (), True))


@pytest.mark.parametrize(
    ("stored", "rest"),
    [(2, ["behind 4", "5"]), (4, ["5"]), (5, [])],
    ids=["the page was read before the last events", "just then", "before the owner relayed the next one"],
)
def test_each_event_is_told_once_by_the_page_or_by_a_push_after_it(stored: int, rest: list[str]):
    """However the page, which is read from the store, and the relay overtake each other."""
    stand = Stand(DIRECT, greeted=False)
    for _ in range(2):
        stand.owner.event(DIRECT)
    stand.session.greet([DIRECT])
    for _ in range(2):
        stand.owner.event(DIRECT)
    assert stand.heard(DIRECT) == []
    page(stand.session, stored)
    stand.owner.event(DIRECT)
    assert stand.heard(DIRECT) == rest


def test_what_was_missed_before_the_page_is_said_after_it():
    """The owner changed while Hello was answered."""
    stand = Stand(DIRECT, greeted=False)
    stand.session.greet([DIRECT])
    stand.subscriptions.receive(relay.Moved(DIRECT, 7), STREAM)
    page(stand.session, 3)
    assert stand.heard(DIRECT) == ["behind 7"]


def test_what_the_client_knows_already_is_pushed_from_hello_on():
    """It is on no page."""
    stand = Stand(DIRECT, GROUP, greeted=False)
    stand.owner.event(DIRECT)
    stand.session.greet([GROUP])
    stand.owner.event(DIRECT)
    assert stand.heard(DIRECT) == ["2"]


def test_news_of_memberships_counts_before_its_page_too():
    """It is not pushed, and it is not lost."""
    stand = Stand(DIRECT, greeted=False)
    stand.owner.notice(Kind.JOINED, GROUP, 2)
    stand.owner.acknowledge(GROUP, 3)
    stand.session.greet([INBOX, GROUP])
    stand.owner.notice(Kind.LEFT, DIRECT, 2)
    assert (stand.session.is_in(GROUP), stand.session.is_in(DIRECT)) == (True, False)
    assert stand.session.heads[INBOX] == 2
    assert stand.session.outbox.take() == b""


def test_signals_come_to_greeted_sessions_of_the_conversation():
    """Before Hello is answered nobody knows what to make of them."""
    early = Stand(DIRECT, greeted=False)
    early.owner.signal(DIRECT)
    early.owner.signal(GROUP)
    assert early.session.outbox.take() == b""
    stand = Stand(DIRECT)
    stand.owner.signal(DIRECT)
    stand.owner.signal(DIRECT)
    assert len(told(stand.session.outbox.take())) == 1


def test_what_was_missed_while_the_owner_changed_is_said():
    """The relay broke at 1, and came back at 4."""
    stand = Stand(DIRECT)
    stand.owner.event(DIRECT)
    stand.subscriptions.broken(STREAM)
    assert not stand.session.sees(DIRECT)
    assert stand.session.is_in(DIRECT)
    stand.owner.acknowledge(INBOX)
    stand.owner.acknowledge(DIRECT, 4)
    stand.owner.event(DIRECT)
    assert stand.session.sees(DIRECT)
    assert stand.heard(DIRECT) == ["1", "behind 4", "5"]


async def test_settled_is_when_nothing_is_joined_any_more() -> None:
    """Who waits runs a little after it was woken: what was joined in between is waited for, too."""
    stand = Stand(DIRECT)
    stand.session.member(GROUP, 1, True)
    waiting = asyncio.create_task(stand.session.settled())
    await asyncio.sleep(0)
    stand.owner.acknowledge(GROUP)
    stand.session.member("g8", 1, True)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    stand.owner.acknowledge("g8")
    async with asyncio.timeout(10):
        await waiting
