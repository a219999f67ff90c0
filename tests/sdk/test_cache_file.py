"""What a cache in a file promises besides what every cache does: how it is opened, damaged, filled up and killed."""

import errno
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stonechat.messaging.v1.conversation_event_pb2 import ConversationEvent
from stonechat_client import Client, State
from stonechat_client.cache import Cache, Device, Span, SqliteCache
from stonechat_client.errors import CacheUnusable
from tests.sdk.server import Server, serving
from tests.sdk.test_cache import DIRECT, ME, queued, said, withdrawn
from tests.sdk.test_session import connected, until


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
