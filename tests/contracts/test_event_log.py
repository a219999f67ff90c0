"""What every event log promises (`svc.kernel.eventlog`). A new adapter joins by a line in LOGS."""

import asyncio
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from svc.backends import sqlite_log
from svc.backends.kafka_log import open_kafka_log
from svc.backends.sqlite_log import SqliteEventLog, open_event_log
from svc.kernel import addresses
from svc.kernel.clock import Clock, SystemClock
from svc.kernel.eventlog import ACCEPTED, DEAD_LETTERS, EVENTS, Consumer, Entry, EventLog, LoggedEntry
from svc.kernel.lifecycle import owned
from tests import real
from tests.fakes import FakeClock

Open = Callable[[Clock], AbstractAsyncContextManager[EventLog]]
WEEK_AND_A_DAY = 8 * 86_400
LOGS = ["sqlite", pytest.param("kafka", marks=pytest.mark.real)]
PARTITIONS = 5


@asynccontextmanager
async def ensured(opening: AbstractAsyncContextManager[EventLog]) -> AsyncIterator[EventLog]:
    async with opening as log:
        await log.ensure(PARTITIONS)
        yield log


@pytest.fixture(params=LOGS)
async def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the same log as often as a test wants."""
    if request.param == "sqlite":
        yield lambda clock: ensured(open_event_log(tmp_path / "log.sqlite", clock))
        return
    address = addresses.parse(addresses.KAFKA, real.address("kafka", real.unique("log")))
    yield lambda clock: ensured(open_kafka_log(address))
    await remove_topics(address)


async def remove_topics(address: addresses.Address) -> None:
    """Everything with the prefix of this address."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address.host_ports())
    await admin.start()
    await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(f"{address.name}.")])
    await admin.close()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no event tells of."""
    async with asyncio.timeout(15):
        while not holds():  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.01)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def log(open_log: Open, clock: FakeClock) -> AsyncIterator[EventLog]:
    async with open_log(clock) as opened:
        yield opened


def entries(partition: int, *values: str) -> list[Entry]:
    return [Entry(partition, f"key {value}", value.encode()) for value in values]


def values(found: Sequence[LoggedEntry]) -> list[str]:
    return [entry.value.decode() for entry in found]


async def take(consumer: Consumer, count: int, max_entries: int = 7) -> list[LoggedEntry]:
    """Fetch until there are so many."""
    found: list[LoggedEntry] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            batch = await consumer.fetch(max_entries)
            assert 0 < len(batch) <= max_entries
            found += batch
    return found


async def test_entries_of_one_append_stand_in_the_order_given(log: EventLog):
    """Per partition; the offsets returned name their places."""
    offsets = await log.append(ACCEPTED, [*entries(0, "a", "b"), *entries(3, "x"), *entries(0, "c")])
    assert list(offsets) == [0, 1, 0, 2]
    assert values(await log.read(ACCEPTED, 0, 0, 10)) == ["a", "b", "c"]
    (found,) = await log.read(ACCEPTED, 3, 0, 10)
    assert (found.partition, found.offset, found.key, found.value) == (3, 0, "key x", b"x")


async def test_offsets_are_contiguous_and_each_partition_and_topic_counts_its_own(log: EventLog):
    """However many append side by side."""
    await asyncio.gather(*(log.append(ACCEPTED, entries(n % 3, f"{n}")) for n in range(60)))
    await log.append(EVENTS, entries(0, "event"))
    for partition in range(3):
        found = await log.read(ACCEPTED, partition, 0, 100)
        assert [entry.offset for entry in found] == list(range(20))
    assert await log.end_offsets(ACCEPTED) == {0: 20, 1: 20, 2: 20}
    assert await log.end_offsets(EVENTS) == {0: 1}
    assert await log.end_offsets(DEAD_LETTERS) == {}


async def test_read_gives_a_window_and_does_not_wait(log: EventLog):
    """From an offset on, so many at most; beyond the end nothing."""
    await log.append(ACCEPTED, entries(0, *"abcdef"))
    assert values(await log.read(ACCEPTED, 0, 2, 3)) == ["c", "d", "e"]
    assert values(await log.read(ACCEPTED, 0, 6, 3)) == []
    assert values(await log.read(ACCEPTED, 4, 0, 3)) == []


async def test_the_log_says_when_an_entry_was_appended(log: EventLog):
    """By its own clock, in µs, and never earlier than the entry before."""
    for value in "abc":
        await log.append(ACCEPTED, entries(0, value))
    times = [entry.appended_us for entry in await log.read(ACCEPTED, 0, 0, 10)]
    assert times == sorted(times)
    assert all(10**15 < time < 10**16 for time in times)  # µs since 1970, not ms


async def test_a_time_leads_to_the_first_entry_since_then(log: EventLog, clock: FakeClock):
    """Per partition, to the millisecond; what is older than the time asked for is never the answer."""
    await log.append(ACCEPTED, entries(0, "a", "b"))
    await log.append(ACCEPTED, entries(1, "c"))
    (first, *_), (other,) = await log.read(ACCEPTED, 0, 0, 10), await log.read(ACCEPTED, 1, 0, 10)
    assert await log.offsets_since(ACCEPTED, 0) == {0: 0, 1: 0}
    assert (await log.offsets_since(ACCEPTED, first.appended_us))[0] == 0
    assert await log.offsets_since(ACCEPTED, other.appended_us + 3_600_000_000) == {}
    before = (await log.read(ACCEPTED, 0, 1, 1))[0].appended_us // 1000
    (offset,) = await log.append(ACCEPTED, entries(0, "later"))
    while (await log.read(ACCEPTED, 0, offset, 1))[0].appended_us // 1000 == before:
        clock.advance(0.001)
        (offset,) = await log.append(ACCEPTED, entries(0, "later"))
    assert (await log.offsets_since(ACCEPTED, (before + 1) * 1000))[0] == offset


async def test_a_consumer_begins_where_it_is_told(log: EventLog):
    """At any offset of each partition, and sees nothing of the others."""
    await log.append(ACCEPTED, [*entries(0, *"abc"), *entries(1, *"xyz"), *entries(2, "other")])
    consumer = await log.consume(ACCEPTED, {0: 1, 1: 3})
    assert values(await take(consumer, 2)) == ["b", "c"]
    await log.append(ACCEPTED, [*entries(2, "other"), *entries(1, "w")])
    assert values(await take(consumer, 1)) == ["w"]
    await consumer.close()


async def test_an_idle_consumer_waits_for_what_comes(log: EventLog):
    """And hears of it without being asked again."""
    consumer = await log.consume(ACCEPTED, {0: 0})
    waiting = asyncio.create_task(take(consumer, 1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    await log.append(ACCEPTED, entries(0, "a"))
    assert values(await waiting) == ["a"]
    await consumer.close()


async def test_what_is_appended_while_it_is_read_comes_in_order_and_once(log: EventLog):
    """Three producers, three partitions, a consumer that starts in the middle."""
    each = 150

    async def produce(producer: int) -> None:
        for number in range(0, each, 3):
            await log.append(
                ACCEPTED, [e for at in range(3) for e in entries((number + at) % 3, f"{producer} {number + at}")]
            )

    async with (
        owned(produce(0), "producer"),
        owned(produce(1), "producer"),
        owned(produce(2), "producer"),
    ):
        early = await log.consume(ACCEPTED, dict.fromkeys(range(3), 0))
        found = await take(early, each)
        late = await log.consume(ACCEPTED, dict.fromkeys(range(3), 0))
        found += await take(early, 3 * each - len(found))
        again = await take(late, 3 * each, max_entries=1000)
    for seen in (found, again):
        by_partition: dict[int, list[LoggedEntry]] = defaultdict(list)
        for entry in seen:
            by_partition[entry.partition].append(entry)
        for partition, own in by_partition.items():
            assert [entry.offset for entry in own] == list(range(len(own)))
            for producer in range(3):
                numbers = [int(v.split()[1]) for v in values(own) if v.startswith(f"{producer} ")]
                assert numbers == list(range(partition, each, 3))
    await early.close()
    await late.close()


async def test_a_consumer_that_falls_far_behind_misses_nothing(log: EventLog, monkeypatch: pytest.MonkeyPatch):
    """What does not fit into memory is read later; then it keeps up again."""
    monkeypatch.setattr(sqlite_log, "_BUFFERED", 50)
    consumer = await log.consume(ACCEPTED, {0: 0, 1: 0})
    waiting = asyncio.create_task(take(consumer, 1))
    for number in range(100):
        await log.append(ACCEPTED, [*entries(0, *(f"{number} {n}" for n in range(5))), *entries(1, f"{number}")])
    found = await waiting
    found += await take(consumer, 600 - len(found))
    assert [entry.offset for entry in found if entry.partition == 0] == list(range(500))
    assert [entry.offset for entry in found if entry.partition == 1] == list(range(100))
    await log.append(ACCEPTED, entries(1, "new"))
    assert values(await take(consumer, 1)) == ["new"]
    await consumer.close()


async def test_a_long_backlog_of_one_partition_does_not_hold_up_the_others(log: EventLog):
    """Each gets its turn, long before the backlog is through."""
    await log.append(ACCEPTED, [*entries(0, *map(str, range(1000))), *entries(1, "b"), *entries(2, "c")])
    consumer = await log.consume(ACCEPTED, {0: 0, 1: 0, 2: 0})
    found: list[LoggedEntry] = []
    while {entry.partition for entry in found} != {0, 1, 2}:
        found += await take(consumer, 1, max_entries=20)
        await asyncio.sleep(0.02)  # what a round takes
    assert len(found) < 800
    await consumer.close()


async def test_lag_is_what_is_stored_and_not_fetched(log: EventLog):
    """Known from the beginning, also of what was there before."""
    await log.append(ACCEPTED, [*entries(0, *map(str, range(30))), *entries(1, "x"), *entries(2, "other")])
    consumer = await log.consume(ACCEPTED, {0: 10, 1: 0})
    await until(lambda: consumer.lag() == 21)
    fetched = len(await take(consumer, 15, max_entries=5))
    await log.append(ACCEPTED, entries(1, "y", "z"))
    assert 21 - fetched <= consumer.lag() <= 23 - fetched  # what came since is known with the next fetch at the latest
    assert consumer.lag(0) + consumer.lag(1) == consumer.lag()
    await take(consumer, 23 - fetched)
    assert consumer.lag() == consumer.lag(0) == 0
    await consumer.close()


async def test_a_cancelled_fetch_loses_nothing(log: EventLog):
    """At whichever point it is cancelled, and whether it reads what was there or waits for what comes."""
    await log.append(ACCEPTED, entries(0, *map(str, range(50))))
    consumer = await log.consume(ACCEPTED, {0: 0})
    found: list[LoggedEntry] = []
    for turns in range(60):
        fetching = asyncio.create_task(consumer.fetch(1))
        if turns >= 40:
            await log.append(ACCEPTED, entries(0, str(10 + turns)))
        for _ in range(turns % 8):
            await asyncio.sleep(0)
        fetching.cancel()
        await asyncio.wait([fetching])
        if not fetching.cancelled():
            found += fetching.result()
    found += await take(consumer, 70 - len(found))
    assert values(found) == [str(number) for number in range(70)]
    await consumer.close()


async def test_a_cancelled_append_is_heard_of_if_it_is_stored(log: EventLog):
    """Whoever appended may be gone: consumers get what is in the log."""
    consumer = await log.consume(ACCEPTED, {0: 0})
    waiting = asyncio.create_task(take(consumer, 1))
    await asyncio.sleep(0)
    appending = asyncio.create_task(log.append(ACCEPTED, entries(0, "a")))
    await asyncio.sleep(0)
    appending.cancel()
    await asyncio.wait([appending])
    await log.append(ACCEPTED, entries(1, "what is appended later is stored later"))
    if not await log.read(ACCEPTED, 0, 0, 10):
        await log.append(ACCEPTED, entries(0, "a"))
    assert [(entry.offset, entry.value) for entry in await waiting] == [(0, b"a")]
    await consumer.close()


async def test_partitions_come_and_go_without_disturbing_the_others(log: EventLog):
    """What is dropped is never returned, whatever was read of it already; what is taken again begins where it is told."""
    await log.append(ACCEPTED, [*entries(0, *"abcdef"), *entries(1, *"uvwxyz")])
    consumer = await log.consume(ACCEPTED, {0: 0})
    assert values(await take(consumer, 2, max_entries=2)) == ["a", "b"]
    await consumer.take(1, 3)
    found = await take(consumer, 1, max_entries=1)
    consumer.drop(0)
    assert consumer.lag(0) == 0
    while len([entry for entry in found if entry.partition == 1]) < 3:
        found += await take(consumer, 1)
    assert values([entry for entry in found if entry.partition == 1]) == ["x", "y", "z"]
    await log.append(ACCEPTED, [*entries(0, "g"), *entries(1, "!")])
    assert values(await take(consumer, 1)) == ["!"]
    await consumer.take(0, 4)
    assert values(await take(consumer, 3)) == ["e", "f", "g"]
    await consumer.close()


async def test_a_consumer_without_partitions_waits_for_one(log: EventLog):
    """It is not an error to own nothing."""
    await log.append(ACCEPTED, entries(2, "a"))
    consumer = await log.consume(ACCEPTED, {})
    waiting = asyncio.create_task(take(consumer, 1))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert consumer.lag() == 0
    await consumer.take(2, 0)
    assert values(await waiting) == ["a"]
    await consumer.close()


async def test_there_can_be_more_partitions_later(log: EventLog):
    """Those there were go on; a consumer that is at work takes new ones."""
    await log.append(ACCEPTED, entries(0, "a"))
    consumer = await log.consume(ACCEPTED, {0: 0})
    assert values(await take(consumer, 1)) == ["a"]
    await log.ensure(PARTITIONS + 3)
    await log.ensure(PARTITIONS)
    await log.append(ACCEPTED, [*entries(PARTITIONS + 2, "new"), *entries(0, "b")])
    await consumer.take(PARTITIONS + 2, 0)
    assert sorted(values(await take(consumer, 2))) == ["b", "new"]
    await consumer.close()


async def test_committed_offsets_are_kept_for_each_group_and_topic(log: EventLog):
    """Missing means 0; a stale writer may move one back."""
    assert await log.committed("delivery", ACCEPTED) == {}
    await log.commit("delivery", ACCEPTED, {0: 5, 2: 1})
    await log.commit("delivery", ACCEPTED, {0: 7})
    await log.commit("other", ACCEPTED, {0: 1})
    await log.commit("delivery", EVENTS, {0: 2})
    assert await log.committed("delivery", ACCEPTED) == {0: 7, 2: 1}
    await log.commit("delivery", ACCEPTED, {0: 6})
    assert await log.committed("delivery", ACCEPTED) == {0: 6, 2: 1}
    assert await log.committed("other", ACCEPTED) == {0: 1}


async def test_everything_is_there_after_reopening(open_log: Open, clock: FakeClock):
    """Entries, offsets and commits."""
    async with open_log(clock) as log:
        await log.append(ACCEPTED, entries(0, "a", "b"))
        await log.commit("delivery", ACCEPTED, {0: 1})
    async with open_log(clock) as log:
        assert list(await log.append(ACCEPTED, entries(0, "c"))) == [2]
        consumer = await log.consume(ACCEPTED, await log.committed("delivery", ACCEPTED))
        assert values(await take(consumer, 2)) == ["b", "c"]
        await consumer.close()


@pytest.fixture
async def sqlite_log_file(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteEventLog]:
    """Trimming is the embedded log's own: Kafka does it by itself."""
    async with open_event_log(tmp_path / "own.sqlite", clock) as opened:
        yield opened


async def test_the_clock_of_the_file_never_goes_backwards(sqlite_log_file: SqliteEventLog, clock: FakeClock):
    """By its own clock, and never earlier than the entry before, though that clock goes backwards."""
    log, began = sqlite_log_file, clock.us
    await log.append(ACCEPTED, entries(0, "a"))
    clock.advance(10)
    await log.append(ACCEPTED, entries(0, "b"))
    clock.advance(-3600)
    await log.append(ACCEPTED, entries(0, "c"))
    times = [entry.appended_us for entry in await log.read(ACCEPTED, 0, 0, 10)]
    assert times == [began, began + 10_000_000, began + 10_000_000]


async def test_what_is_old_and_committed_is_trimmed_and_no_offset_is_used_again(
    sqlite_log_file: SqliteEventLog, clock: FakeClock
):
    """Young entries and those not done stay; an emptied partition goes on counting."""
    log = sqlite_log_file
    await log.append(ACCEPTED, [*entries(0, *"abcd"), *entries(1, *"xyz")])
    await log.commit("delivery", ACCEPTED, {0: 3, 1: 3})
    assert await log.trim() == 0
    clock.advance(WEEK_AND_A_DAY)
    await log.append(ACCEPTED, entries(0, "e"))
    assert await log.trim() == 3 + 2
    assert values(await log.read(ACCEPTED, 0, 0, 10)) == ["d", "e"]
    assert await log.end_offsets(ACCEPTED) == {0: 5, 1: 3}
    assert list(await log.append(ACCEPTED, entries(1, "w"))) == [3]


async def test_a_consumer_from_below_the_oldest_entry_starts_there(sqlite_log_file: SqliteEventLog, clock: FakeClock):
    """A new consumer, and one that fell behind what is trimmed meanwhile."""
    log = sqlite_log_file
    behind = await log.consume(ACCEPTED, {0: 0})
    await log.append(ACCEPTED, entries(0, *"abcd"))
    await log.commit("delivery", ACCEPTED, {0: 4})
    clock.advance(WEEK_AND_A_DAY)
    assert await log.trim() == 3
    for consumer in (behind, await log.consume(ACCEPTED, {0: 1})):
        assert [(entry.offset, entry.value) for entry in await take(consumer, 1)] == [(3, b"d")]
    await log.append(ACCEPTED, entries(0, "e"))
    assert values(await take(behind, 1)) == ["e"]


async def test_what_is_appended_while_the_file_is_read_is_not_skipped(
    sqlite_log_file: SqliteEventLog, monkeypatch: pytest.MonkeyPatch
):
    """An empty answer may be older than an entry that has come in the meantime."""
    log, read = sqlite_log_file, sqlite_log_file.read

    async def slow_read(topic: str, partition: int, start: int, count: int) -> Sequence[LoggedEntry]:
        found = await read(topic, partition, start, count)
        if (await log.end_offsets(topic)).get(partition, 0) < 3:
            await log.append(ACCEPTED, entries(0, "late"))
        return found

    monkeypatch.setattr(log, "read", slow_read)
    consumer = await log.consume(ACCEPTED, {0: 0})
    assert [entry.offset for entry in await take(consumer, 3)] == [0, 1, 2]


APPENDER = """
import asyncio, sys
from pathlib import Path
from svc.backends.sqlite_log import open_event_log
from svc.kernel.clock import SystemClock
from svc.kernel.eventlog import ACCEPTED, Entry

async def main():
    async with open_event_log(Path(sys.argv[1]), SystemClock()) as log:
        async def produce(partition):
            while True:
                offsets = await log.append(ACCEPTED, [Entry(partition, "key", b"x" * 300)] * 3)
                print(partition, offsets[-1], flush=True)
        await asyncio.gather(*(produce(partition) for partition in range(3)))

asyncio.run(main())
"""


def test_what_append_returned_from_survives_a_kill(tmp_path: Path):
    """kill -9 in the middle of appending: everything that was acknowledged is there, in order, without a hole."""
    path = tmp_path / "log.sqlite"
    process = subprocess.Popen([sys.executable, "-c", APPENDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(300)]
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines()
    process.wait()
    process.stdout.close()
    acknowledged: dict[int, int] = {}
    for line in lines:
        if len(parts := line.split()) == 2:
            acknowledged[int(parts[0])] = int(parts[1])
    found = asyncio.run(all_entries(path))
    for partition, own in found.items():
        assert [entry.offset for entry in own] == list(range(len(own)))
        assert len(own) > acknowledged[partition] >= 0
        assert all(entry.value == b"x" * 300 for entry in own)


async def all_entries(path: Path) -> dict[int, Sequence[LoggedEntry]]:
    async with open_event_log(path, SystemClock()) as log:
        return {partition: await log.read(ACCEPTED, partition, 0, 100_000) for partition in range(3)}
