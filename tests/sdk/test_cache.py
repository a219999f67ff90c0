"""What every cache promises, and what one in a file promises besides."""

import errno
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent, Message
from stonechat_client import Client, State
from stonechat_client.cache import Cache, Device, MemoryCache, Queued, Span, SqliteCache, WrongUser
from stonechat_client.errors import CacheUnusable
from tests.sdk.server import Server, serving
from tests.sdk.test_session import connected, until

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


# What one in a file promises besides


def test_the_newest_events_are_kept_the_oldest_leave(tmp_path: Path) -> None:
    cache = SqliteCache(tmp_path / "alice.cache", kept=150)
    cache.begin(DIRECT, 0)
    for seq in range(1, 1001):
        cache.add(said(seq))
        found = cache.events(DIRECT, 9999, 9999)
        assert [one.seq for one in found] == list(range(seq, seq - len(found), -1))
        assert min(seq, 150) <= len(found) < 250
    assert cache.spans() == {DIRECT: Span(0, 1000)}
    cache.close()


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "of" / "alice" / "cache"
    cache = SqliteCache(path)
    cache.keep_device(Device(ME, "v1", "secret"))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"cache": 0o600, "cache-wal": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    cache.close()


def test_nothing_withdrawn_is_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "alice.cache"
    cache = SqliteCache(path)
    cache.begin(DIRECT, 0)
    cache.add(said(1, "a word that nobody was to read"))
    cache.add(said(2, "x" * 9000 + "the end of a long word"))
    for seq in (3, 4):
        cache.add(withdrawn(seq, seq - 2))
    cache.close()
    content = path.read_bytes()
    assert b"nobody was to read" not in content
    assert b"the end of a long word" not in content
    assert list(tmp_path.iterdir()) == [path]


def test_a_second_program_is_told_that_it_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "alice.cache"
    cache = SqliteCache(path)
    program = f"from stonechat_client.cache import SqliteCache; SqliteCache({str(path)!r})"
    for _ in range(2):
        second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "CacheUnusable" in second.stderr
        assert f"{path} is in use by another program" in second.stderr
        with pytest.raises(CacheUnusable, match="in use by another program"):
            SqliteCache(path)
    cache.begin(DIRECT, 0)
    cache.close()
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_file_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "diary"
    for content in (b"dear diary", b"dear diary\n" * 1000, b"\0" * 5000):
        path.write_bytes(content)
        with pytest.raises(CacheUnusable, match="diary is no cache of Stonechat, or it is damaged"):
            SqliteCache(path)
        assert path.read_bytes() == content


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE words (word TEXT)")
    other.close()
    content = path.read_bytes()
    with pytest.raises(CacheUnusable, match=r"other\.db belongs to another program"):
        SqliteCache(path)
    assert path.read_bytes() == content


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "alice.cache"
    SqliteCache(path).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(
        CacheUnusable, match=r"newer version of this library.* may be deleted.* waited to be sent, are lost"
    ):
        SqliteCache(path)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, why in ((tmp_path, "unable to open database file"), (tmp_path / "file" / "cache", "File exists")):
        with pytest.raises(CacheUnusable, match=f"{path} cannot be opened as a cache: {why}"):
            SqliteCache(path)


def test_damage_is_said_and_never_shown_as_data(tmp_path: Path) -> None:
    """Whatever is overwritten: the cache is refused, or a call says so, or what it says is what was kept."""
    path = tmp_path / "alice.cache"
    cache = SqliteCache(path)
    cache.begin(DIRECT, 0)
    for seq in range(1, 400):
        cache.add(said(seq))
    cache.enqueue(queued("c1"))
    cache.close()
    whole, chance, said_so = path.read_bytes(), random.Random(7), 0
    for _ in range(60):
        at, size = chance.randrange(0, len(whole) - 512), chance.choice([1, 512])
        path.write_bytes(whole[:at] + chance.randbytes(size) + whole[at + size :])
        try:
            found, newest = _everything(path)
        except (CacheUnusable, OSError) as error:
            said_so += str(path) in str(error)
            continue
        assert found == [said(seq) for seq in range(399, 0, -1)]
        assert newest == {DIRECT: Span(0, 399)}
    assert said_so > 20


def _everything(path: Path) -> tuple[list[ConversationEvent], dict[str, Span]]:
    cache = SqliteCache(path)
    try:
        return list(cache.events(DIRECT, 9999, 9999)), dict(cache.spans())
    finally:
        cache.close()


def test_a_conversation_that_ends_elsewhere_than_its_events_is_damaged(tmp_path: Path) -> None:
    """It would claim what is not there, and a session would never ask for it."""
    path = tmp_path / "alice.cache"
    for damage in ("UPDATE conversations SET last = 7", "DELETE FROM events WHERE seq = 3", "DELETE FROM owner"):
        cache = SqliteCache(path)
        cache.begin(DIRECT, 0)
        for seq in (1, 2, 3):
            cache.add(said(seq))
        cache.close()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute(damage)
        other.close()
        with pytest.raises(CacheUnusable, match="is damaged"):
            SqliteCache(path)
        path.unlink()


async def test_a_cache_that_cannot_be_written_any_more_ends_the_session(server: Server, tmp_path: Path) -> None:
    cache = SqliteCache(tmp_path / "alice.cache")
    async with serving(server) as port, Client(f"http://127.0.0.1:{port}", cache) as client:
        await client.sign_in("alice", "password")
        async with client.connect() as session:
            await connected(session)
            cache._file.execute("PRAGMA max_page_count = 1")
            await server.post("x" * 9000)
            with pytest.raises(OSError, match="database or disk is full"):
                await until(session, lambda item: False)
            assert session.state is State.CLOSED


def test_a_file_that_was_cut_short_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "alice.cache"
    cache = SqliteCache(path)
    cache.begin(DIRECT, 0)
    cache.close()
    path.write_bytes(path.read_bytes()[:4096])
    with pytest.raises(CacheUnusable, match=r"is damaged .*may be deleted: everything that was sent is stored"):
        SqliteCache(path)


WRITER = """
import sys
from stonechat_client.cache import SqliteCache
from tests.sdk.test_cache import queued, said
cache = SqliteCache(sys.argv[1])
cache.belong_to("u1")
if "g1" not in cache.spans():
    cache.begin("g1", 0)
while True:
    seq = cache.spans()["g1"].last + 1
    cache.enqueue(queued(f"c{seq}"))
    print("queued", seq, flush=True)
    cache.add(said(seq, conversation_id="g1", own_id=f"c{seq}"))
    print("added", seq, flush=True)
"""


def test_a_program_that_is_killed_loses_nothing_that_it_was_told_is_kept(tmp_path: Path) -> None:
    """Five times: killed in the midst of writing, opened by the next one."""
    path, chance = tmp_path / "alice.cache", random.Random(11)
    last = 0
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            told = [writer.stdout.readline() for _ in range(chance.randrange(1, 300))]
            writer.kill()
            told += writer.stdout.read().splitlines(keepends=True)
        assert writer.returncode == -signal.SIGKILL
        words = [line.split() for line in told if line.endswith("\n")]  # the last may be half a line
        added = max((int(seq) for word, seq in words if word == "added"), default=last)
        put = max(int(seq) for word, seq in words if word == "queued")
        cache = SqliteCache(path)
        span = cache.spans()["g1"]
        waiting = [message.client_message_id for message in cache.queued()]
        assert span.last >= added
        assert [one.seq for one in cache.events("g1", 2**63, 9999)] == list(range(span.last, 0, -1))
        assert put <= span.last + 1
        if put == span.last + 1:
            assert waiting == [f"c{put}"], "what was queued is lost"
        else:
            assert waiting in ([], [f"c{span.last + 1}"]), "a message is in both places, or lost"
        last = span.last
        cache.close()
    assert last > 50


def test_a_full_disk_is_said_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "alice.cache"
    cache = SqliteCache(path)
    cache.begin(DIRECT, 0)
    cache._file.execute("PRAGMA max_page_count = 12")
    with pytest.raises(OSError, match="the cache cannot be used any more: database or disk is full") as failure:
        _fill(cache)
    assert failure.value.errno == errno.ENOSPC
    assert failure.value.filename == str(path)
    span = cache.spans()[DIRECT]
    assert 0 < span.last < 99
    cache._file.execute("PRAGMA max_page_count = 1000000")
    cache.add(said(span.last + 1))
    cache.close()
    cache = SqliteCache(path)
    assert cache.spans() == {DIRECT: Span(0, span.last + 1)}
    assert len(cache.events(DIRECT, 9999, 9999)) == span.last + 1
    cache.close()


def _fill(cache: Cache) -> None:
    for seq in range(1, 100):
        cache.add(said(seq, "x" * 4000))
