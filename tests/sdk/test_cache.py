"""What every cache promises, one in memory and one in a file alike."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from stonechat_client.cache import Cache, Device, MemoryCache, Queued, Span, SqliteCache, WrongUser

ME, PEER = "u1", "u2"
DIRECT, GROUP = "d.u1.u2", "g1"


def event(seq: int, conversation_id: str = DIRECT, sender: str = PEER) -> ConversationEvent:
    return ConversationEvent(
        conversation_id=conversation_id, seq=seq, sender_id=sender, message_id=f"m{1000 + seq}.{seq}"
    )


def said(seq: int, content: str = "", conversation_id: str = DIRECT, own_id: str = "") -> ConversationEvent:
    made = event(seq, conversation_id, ME if own_id else PEER)
    made.client_message_id = own_id
    made.message.CopyFrom(Message(type="text", content=content or f"text {seq}"))
    return made


def edited(seq: int, target: int, content: str, conversation_id: str = DIRECT) -> ConversationEvent:
    made = event(seq, conversation_id)
    made.edit.type, made.edit.content, made.edit.message_id = "text", content, f"m{1000 + target}.{target}"
    return made


def withdrawn(seq: int, target: int, conversation_id: str = DIRECT) -> ConversationEvent:
    made = event(seq, conversation_id)
    made.withdrawal.message_id = f"m{1000 + target}.{target}"
    return made


def queued(name: str, to: str = PEER, content: str = "hello", at: float = 5.0) -> Queued:
    return Queued(name, to, content, at)


class Kept:
    """A cache that can be opened again. One in memory is what it was."""

    def __init__(self, open_cache: Callable[[], Cache], lasts: bool) -> None:
        self._open, self._lasts = open_cache, lasts
        self.cache = open_cache()

    def again(self) -> Cache:
        if self._lasts:
            self.cache.close()
            self.cache = self._open()
        return self.cache


@pytest.fixture(params=["memory", "sqlite"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    lasts = request.param == "sqlite"
    found = Kept((lambda: SqliteCache(tmp_path / "alice.cache")) if lasts else MemoryCache, lasts)
    yield found
    found.cache.close()


def test_a_new_cache_holds_nothing(kept: Kept) -> None:
    cache = kept.again()
    assert (cache.device(), dict(cache.spans()), list(cache.queued())) == (None, {}, [])
    assert cache.event(DIRECT, 1) is None
    assert list(cache.events(DIRECT, 100, 10)) == []


def test_a_conversation_is_held_from_where_it_was_begun(kept: Kept) -> None:
    kept.cache.begin(DIRECT, 5)
    assert kept.cache.spans() == {DIRECT: Span(5, 5)}
    for seq in (6, 7):
        kept.cache.add(said(seq))
    cache = kept.again()
    assert cache.spans() == {DIRECT: Span(5, 7)}
    assert cache.event(DIRECT, 6) == said(6)
    assert cache.event(DIRECT, 5) is None
    assert cache.event(DIRECT, 8) is None
    assert cache.event(GROUP, 6) is None


@pytest.mark.parametrize("seq", [1, 4, 5, 7, 8, 2**64 - 1])
def test_only_the_next_event_is_taken(kept: Kept, seq: int) -> None:
    kept.cache.begin(DIRECT, 4)
    kept.cache.add(said(5))
    with pytest.raises(ValueError, match=f"{DIRECT} {seq} is not the next event"):
        kept.cache.add(said(seq))
    assert kept.again().spans() == {DIRECT: Span(4, 5)}
    assert list(kept.cache.events(DIRECT, 100, 10)) == [said(5)]


def test_an_event_of_a_conversation_that_was_not_begun_is_refused(kept: Kept) -> None:
    with pytest.raises(ValueError, match="is not the next event"):
        kept.cache.add(said(1))
    assert kept.again().spans() == {}


def test_beginning_again_drops_what_was_held(kept: Kept) -> None:
    for first in (0, 8, 3):
        kept.cache.begin(DIRECT, first)
        kept.cache.add(said(first + 1))
    cache = kept.again()
    assert cache.spans() == {DIRECT: Span(3, 4)}
    assert list(cache.events(DIRECT, 100, 10)) == [said(4)]


def test_a_number_that_no_true_server_reaches_does_no_harm(kept: Kept) -> None:
    kept.cache.begin(DIRECT, 2**64 - 1)
    assert kept.again().spans()[DIRECT].last >= 2**63 - 1
    with pytest.raises(ValueError, match="is not the next event"):
        kept.cache.add(said(5))


def test_what_is_forgotten_is_gone(kept: Kept) -> None:
    for name in (DIRECT, GROUP):
        kept.cache.begin(name, 0)
        kept.cache.add(said(1, conversation_id=name))
    kept.cache.forget(DIRECT)
    kept.cache.forget("g9")
    cache = kept.again()
    assert cache.spans() == {GROUP: Span(0, 1)}
    assert cache.event(DIRECT, 1) is None
    cache.begin(DIRECT, 0)
    assert list(cache.events(DIRECT, 100, 10)) == []


def test_conversations_stand_in_the_order_in_which_they_moved(kept: Kept) -> None:
    for name in ("g1", "g2", "g3", "g4"):
        kept.cache.begin(name, 0)
    kept.cache.add(said(1, conversation_id="g2"))
    kept.cache.add(said(1, conversation_id="g1"))
    assert list(kept.cache.spans()) == ["g3", "g4", "g2", "g1"]
    kept.again().begin("g3", 7)
    kept.cache.add(said(2, conversation_id="g2"))
    assert list(kept.again().spans()) == ["g4", "g1", "g3", "g2"]


def test_events_are_read_newest_first_in_pages(kept: Kept) -> None:
    kept.cache.begin(DIRECT, 0)
    for seq in range(1, 11):
        kept.cache.add(said(seq))
    assert [one.seq for one in kept.again().events(DIRECT, 2**64 - 1, 3)] == [10, 9, 8]
    assert [one.seq for one in kept.cache.events(DIRECT, 8, 4)] == [7, 6, 5, 4]
    assert [one.seq for one in kept.cache.events(DIRECT, 3, 4)] == [2, 1]
    assert list(kept.cache.events(DIRECT, 1, 4)) == []


def test_an_edit_and_a_withdrawal_change_what_is_held(kept: Kept) -> None:
    kept.cache.begin(DIRECT, 0)
    for one in (said(1, "first"), said(2, "second"), edited(3, 1, "newer"), withdrawn(4, 2)):
        kept.cache.add(one)
    cache = kept.again()
    first, second = cache.event(DIRECT, 1), cache.event(DIRECT, 2)
    assert first is not None
    assert second is not None
    assert (first.message.content, second.message.content) == ("newer", "")
    assert cache.event(DIRECT, 3) == edited(3, 1, "newer")


def test_a_change_of_what_is_not_held_changes_nothing(kept: Kept) -> None:
    kept.cache.begin(DIRECT, 5)
    forged = edited(8, 6, "forged")
    forged.edit.message_id = "m1.6"
    huge = withdrawn(9, 6)
    huge.withdrawal.message_id = f"m1.{2**64}"
    for one in (said(6), edited(7, 3, "newer"), forged, huge):
        kept.cache.add(one)
    assert list(kept.again().events(DIRECT, 7, 10)) == [said(6)]
    assert kept.cache.spans() == {DIRECT: Span(5, 9)}


def test_what_the_program_does_with_an_event_changes_nothing_in_the_cache(kept: Kept) -> None:
    kept.cache.begin(DIRECT, 0)
    given_away = said(1)
    kept.cache.add(given_away)
    given_away.message.content = "changed"
    assert kept.cache.event(DIRECT, 1) == said(1)


def test_the_queue_is_in_order_and_a_message_is_in_it_once(kept: Kept) -> None:
    for name in ("c2", "c1", "c3"):
        kept.cache.enqueue(queued(name))
    kept.cache.enqueue(queued("c1", content="other"))
    assert list(kept.again().queued()) == [queued("c2"), queued("c1"), queued("c3")]
    for name in ("c2", "c9"):
        kept.cache.dequeue(name)
    kept.cache.enqueue(queued("c2"))
    assert list(kept.again().queued()) == [queued("c1"), queued("c3"), queued("c2")]


def test_only_the_first_attempt_counts(kept: Kept) -> None:
    kept.cache.enqueue(queued("c1"))
    for at in (7.5, 9.0):
        kept.cache.tried("c1", at)
    kept.cache.tried("c9", 7.0)
    assert list(kept.again().queued()) == [Queued("c1", PEER, "hello", 5.0, 7.5)]


def test_an_own_message_leaves_the_queue_with_its_event(kept: Kept) -> None:
    kept.cache.belong_to(ME)
    for name in ("c1", "c2", "c3"):
        kept.cache.enqueue(queued(name))
    kept.cache.begin(DIRECT, 0)
    kept.cache.add(said(1, own_id="c2"))
    others = said(2, own_id="c1")
    others.sender_id = PEER
    kept.cache.add(others)
    change = edited(3, 1, "newer")
    change.client_message_id, change.sender_id = "c3", ME
    kept.cache.add(change)
    assert [message.client_message_id for message in kept.again().queued()] == ["c1", "c3"]


def test_a_cache_belongs_to_one_user(kept: Kept) -> None:
    kept.cache.belong_to(ME)
    kept.again().belong_to(ME)
    with pytest.raises(WrongUser, match=f"{ME}, not .*{PEER}"):
        kept.cache.belong_to(PEER)
    kept.again().belong_to(ME)


def test_the_device_is_kept_until_it_is_replaced(kept: Kept) -> None:
    device = Device(ME, "v1", "secret")
    kept.cache.keep_device(device)
    assert kept.again().device() == device
    kept.cache.keep_device(Device(ME, "v1", "newer"))
    assert kept.again().device() == Device(ME, "v1", "newer")
    kept.cache.keep_device(None)
    assert kept.again().device() is None


NAMES = st.sampled_from(["g1", "g2", "g3"])
CALLS = st.one_of(
    st.tuples(st.just("begin"), NAMES, st.integers(0, 9)),
    st.tuples(st.just("add"), NAMES, st.sampled_from([0, 1, 1, 1, 1, 1, 2])),
    st.tuples(st.just("edit"), NAMES, st.integers(0, 12)),
    st.tuples(st.just("withdraw"), NAMES, st.integers(0, 12)),
    st.tuples(st.just("own"), NAMES, st.sampled_from(["c1", "c2"])),
    st.tuples(st.just("forget"), NAMES, st.none()),
    st.tuples(st.sampled_from(["enqueue", "dequeue", "tried"]), st.sampled_from(["c1", "c2", "c3"]), st.none()),
    st.tuples(st.just("again"), st.none(), st.none()),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALLS, max_size=40))
def test_both_caches_say_the_same_whatever_is_asked_of_them(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, str, object]]
) -> None:
    path = tmp_path_factory.mktemp("cache") / "alice.cache"
    memory, file = MemoryCache(), SqliteCache(path)
    try:
        for cache in (memory, file):
            cache.belong_to(ME)
        for number, (call, name, value) in enumerate(calls):
            if call == "again":
                file.close()
                file = SqliteCache(path)
            answers = [_say(cache, call, name, value, number) for cache in (memory, file)]
            assert answers[0] == answers[1]
            assert list(memory.spans().items()) == list(file.spans().items())
            assert list(memory.queued()) == list(file.queued())
            for conversation_id in memory.spans():
                assert list(memory.events(conversation_id, 99, 99)) == list(file.events(conversation_id, 99, 99))
    finally:
        file.close()


def _say(cache: Cache, call: str, name: str, value: object, number: int) -> str:
    span = cache.spans().get(name, Span(0, 0))
    try:
        match call, value:
            case "begin", int(first):
                cache.begin(name, first)
            case "add", int(step):
                cache.add(said(span.last + step, f"text {number}", name))
            case "edit", int(target):
                cache.add(edited(span.last + 1, target, f"text {number}", name))
            case "withdraw", int(target):
                cache.add(withdrawn(span.last + 1, target, name))
            case "own", str(own_id):
                cache.add(said(span.last + 1, f"text {number}", name, own_id))
            case "forget", _:
                cache.forget(name)
            case "enqueue", _:
                cache.enqueue(queued(name, content=f"text {number}"))
            case "dequeue", _:
                cache.dequeue(name)
            case "tried", _:
                cache.tried(name, float(number + 1))
    except ValueError as error:
        return str(error)
    return ""
