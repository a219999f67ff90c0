"""Rounds are finished together, in log order; an offset is committed when everything below it is through (protocol T3)."""

import asyncio

import pytest

from svc.backends.sqlite_log import open_event_log
from svc.delivery import finisher
from svc.delivery.finisher import Finisher
from svc.delivery.holding import Holding
from svc.delivery.incidents import group_of
from svc.delivery.model import Event, Position, Verdict
from svc.delivery.retry import Retry
from svc.delivery.rounds import Round
from svc.delivery.sequencer import Sequencer
from svc.delivery.wire import ProtoEncoder
from svc.kernel.clock import SystemClock
from svc.kernel.coordination import Claim
from svc.kernel.eventlog import ACCEPTED, DEAD_LETTERS, EVENTS, Entry
from svc.kernel.ids import SnowflakeGenerator
from svc.kernel.lifecycle import owned
from svc.kernel.record import Kind, Record
from svc.kernel.registry import Instance
from svc.kernel.relay import Outcome
from svc.kernel.shards import FixedShards, ShardMap

PARTITIONS = 2


HELD = [
    Holding(Claim(partition, 1, Instance("here", "boot")), Sequencer(lambda name: 1, 0), 0, 0, 0)
    for partition in range(PARTITIONS)
]


def a_round(number, frames, events=1):
    """A round of so many events on partition 0, with these frames; its last record stands at offset `number`."""
    record = Record(Kind.MESSAGE, "d.u1.u2", "u1", f"c{number}", number + 1, b"")
    event = Event(record, Kind.MESSAGE, Position(1, number), number + 2, number, number + 1, 0)
    verdicts = [Verdict(record, Outcome.STORED, event=event) for _ in range(events)]
    return Round(verdicts, frames={0: list(frames)}, next_offsets={HELD[0]: number + 1})


@pytest.fixture
async def world(tmp_path):
    clock, shards = SystemClock(), FixedShards(ShardMap.initial(PARTITIONS))
    async with open_event_log(tmp_path / "log.sqlite", clock) as log:
        made = Finisher(
            log,
            ProtoEncoder(clock, SnowflakeGenerator(clock)),
            clock,
            shards,
            Retry(clock),
            incident=1,
        )
        for holding in HELD:
            made.begin(holding)
        yield made, log


async def committed(log, offset):
    async with asyncio.timeout(10):
        while (await log.committed(group_of(1), ACCEPTED)).get(0) != offset:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)


async def announced(log):
    return [entry.value for entry in await log.read(EVENTS, 0, 0, 1000)]


async def test_rounds_that_wait_are_finished_as_one(world):
    made, log = world
    for number in range(5):
        await made.put(a_round(number, [b"%d" % number]))
    async with owned(made.run(), "finisher"):
        await committed(log, 5)
    assert await announced(log) == [b"01234"]


async def test_an_announcement_is_cut_between_frames_before_it_is_too_long(world, monkeypatch):
    monkeypatch.setattr(finisher, "_ENTRY_BYTES", 5)
    made, log = world
    await made.put(a_round(0, [b"aa", b"bb", b"cc", b"a long one", b"dd", b"ee"]))
    async with owned(made.run(), "finisher"):
        await committed(log, 1)
    assert await announced(log) == [b"aabb", b"cc", b"a long one", b"ddee"]


async def test_whoever_is_too_far_ahead_waits(world, monkeypatch):
    monkeypatch.setattr(finisher, "_WAITING", 10)
    made, log = world
    await made.put(a_round(0, [b"0"], events=10))
    ahead = asyncio.create_task(made.put(a_round(1, [b"1"])))
    done, _ = await asyncio.wait((ahead,), timeout=0.05)
    assert not done
    async with owned(made.run(), "finisher"):
        async with asyncio.timeout(10):
            await ahead
        await committed(log, 2)
    assert b"".join(await announced(log)) == b"01"


async def test_who_gives_a_partition_back_waits_for_what_was_there_and_not_for_what_keeps_coming(world, monkeypatch):
    """Under load there is always a round that is not finished, and meanwhile nobody serves the partition."""
    made, log = world
    commit = log.commit

    async def commit_while_more_comes(group, topic, offsets):
        await made.put(a_round(offsets[0], []))
        await commit(group, topic, offsets)

    monkeypatch.setattr(log, "commit", commit_while_more_comes)
    async with owned(made.run(), "finisher"), asyncio.timeout(10):
        await made.put(a_round(0, []))
        await made.caught_up()
    assert made.is_behind
    assert (await log.committed(group_of(1), ACCEPTED))[0] >= 1


async def test_what_is_parked_without_a_verdict_counts_too(world, monkeypatch):
    monkeypatch.setattr(finisher, "_WAITING", 10)
    made, log = world
    await made.put(Round(dead_letters=[Entry(0, "?", b"garbage")] * 10, next_offsets={HELD[0]: 10}))
    ahead = asyncio.create_task(made.put(a_round(10, [b"10"])))
    done, _ = await asyncio.wait((ahead,), timeout=0.05)
    assert not done
    async with owned(made.run(), "finisher"):
        await committed(log, 11)
    assert len(await log.read(DEAD_LETTERS, 0, 0, 100)) == 10


async def test_so_many_are_finished_together_and_no_more(world, monkeypatch):
    monkeypatch.setattr(finisher, "_TOGETHER", 2)
    made, log = world
    for number in range(5):
        await made.put(a_round(number, [b"%d" % number]))
    async with owned(made.run(), "finisher"):
        await committed(log, 5)
    assert await announced(log) == [b"01", b"23", b"4"]


async def test_a_partition_that_was_taken_again_is_committed_by_what_was_read_since(world):
    """A round that was judged before it was lost says nothing: not all of it may have been taken through all steps."""
    made, log = world
    await made.put(a_round(8, [b"8"]))
    made.drop(0)
    again = Holding(Claim(0, 2, Instance("here", "boot")), Sequencer(lambda name: 1, 3), 3, 3, 9)
    made.begin(again)
    async with owned(made.run(), "finisher"):
        await committed(log, 3)
        await made.put(Round(next_offsets={again: 5}))
        await committed(log, 5)
