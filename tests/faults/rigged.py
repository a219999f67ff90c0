"""`stonechat` with one thing rigged, for faults that no signal from outside hits at the right moment.

`python -m tests.faults.rigged RIG ARGUMENTS…`: the command with these arguments, in which RIG happens, or several, with "; "
between them:

    die POINT N     SIGKILL at the N-th time that this point is reached with something to lose (see POINTS, RARE_POINTS)
    armed die …     the same, counted from SIGUSR1 on
    hold edits      edits that were accepted are not appended to the log before SIGUSR1
    clock SECONDS   the machine's wall clock is wrong by so much
    stumble         a bug meets every record that holds the word "stumble", before SIGUSR1
    edge N          of a round that crosses from one bucket of a conversation into the next, what belongs to the older bucket is
                    never stored, whatever else is; SIGKILL at the N-th time
    cut SECONDS SEED    relay streams break after about so long, and what nobody follows any more is forgotten after 0.2 s
    narrow CHANCE SEED  a relay queue is full with this chance whenever something is put into it
    block           SIGUSR1 makes the event loop stand still, for good; other threads go on
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any


def _die(point: str, number: int, *, armed: bool) -> None:
    left, counts = [number], [armed]
    if not armed:
        signal.signal(signal.SIGUSR1, lambda *_: counts.__setitem__(0, True))

    def reached() -> None:
        left[0] -= counts[0]
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    (POINTS | RARE_POINTS)[point](reached)


def _seq_given(reached: Callable[[], None]) -> None:
    from svc.delivery.judge import Judge

    judge = Judge.judge

    async def judged(self: Judge, entries: Any) -> Any:
        result = await judge(self, entries)
        if result.events():
            reached()
        return result

    Judge.judge = judged  # type: ignore[method-assign]


def _half_stored(reached: Callable[[], None]) -> None:
    from svc.delivery.adapters.cassandra import CassandraMessageStore

    write = CassandraMessageStore.write

    async def written(self: CassandraMessageStore, events: Any) -> None:
        if len(events) > 1:
            await write(self, events[: len(events) // 2])
            reached()
        await write(self, events)

    CassandraMessageStore.write = written  # type: ignore[method-assign]


def _stored(reached: Callable[[], None]) -> None:
    from svc.delivery.adapters.cassandra import CassandraMessageStore

    write = CassandraMessageStore.write

    async def written(self: CassandraMessageStore, events: Any) -> None:
        await write(self, events)
        reached()

    CassandraMessageStore.write = written  # type: ignore[method-assign]


def _relayed(reached: Callable[[], None]) -> None:
    from svc.delivery.owner import Owner

    hand_out = Owner._hand_out

    def handed_out(self: Owner, result: Any, *rest: Any) -> None:
        hand_out(self, result, *rest)
        if result.events():
            # What was handed to the streams of other processes leaves with the next turn of the loop.
            import asyncio

            asyncio.get_running_loop().call_later(0.002, reached)

    Owner._hand_out = handed_out  # type: ignore[method-assign]


def _announced(reached: Callable[[], None]) -> None:
    from svc.backends.kafka_log import KafkaEventLog
    from svc.kernel.eventlog import EVENTS

    append = KafkaEventLog.append

    async def appended(self: KafkaEventLog, topic: str, entries: Any) -> Any:
        offsets = await append(self, topic, entries)
        if topic == EVENTS:
            reached()
        return offsets

    KafkaEventLog.append = appended  # type: ignore[method-assign]


def _before_commit(reached: Callable[[], None]) -> None:
    from svc.backends.kafka_log import KafkaEventLog

    commit = KafkaEventLog.commit

    async def committed(self: KafkaEventLog, group: str, topic: str, offsets: Any) -> None:
        reached()
        await commit(self, group, topic, offsets)

    KafkaEventLog.commit = committed  # type: ignore[method-assign]


POINTS: dict[str, Callable[[Callable[[], None]], None]] = {
    "seq given": _seq_given,
    "half of it stored": _half_stored,
    "stored": _stored,
    "relayed": _relayed,
    "announced": _announced,
    "before the commit": _before_commit,
}


def _first_message_stored(reached: Callable[[], None]) -> None:
    from svc.delivery.adapters.cassandra import CassandraMessageStore
    from svc.kernel.record import Kind

    write = CassandraMessageStore.write

    async def written(self: CassandraMessageStore, events: Any) -> None:
        await write(self, events)
        if any(event.seq == 1 and event.kind is Kind.MESSAGE for event in events):
            reached()

    CassandraMessageStore.write = written  # type: ignore[method-assign]


def _withdrawal_without_its_message(reached: Callable[[], None]) -> None:
    from svc.delivery.adapters.cassandra import CassandraMessageStore
    from svc.kernel.record import Kind

    write, target_row = CassandraMessageStore.write, CassandraMessageStore._target_row

    async def written(self: CassandraMessageStore, events: Any) -> None:
        if any(event.kind is Kind.WITHDRAWAL for event in events):
            CassandraMessageStore._target_row = lambda self, event: None  # type: ignore[method-assign]
            await write(self, events)
            reached()
            CassandraMessageStore._target_row = target_row  # type: ignore[method-assign]
        await write(self, events)

    CassandraMessageStore.write = written  # type: ignore[method-assign]


def _removal_stored(reached: Callable[[], None]) -> None:
    from svc.delivery.adapters.cassandra import CassandraMessageStore

    write = CassandraMessageStore.write

    async def written(self: CassandraMessageStore, events: Any) -> None:
        await write(self, events)
        if any(event.record.left for event in events):
            reached()

    CassandraMessageStore.write = written  # type: ignore[method-assign]


def _membership_committed(reached: Callable[[], None]) -> None:
    from svc.backends.outbox import Outbox

    committed = Outbox._committed

    def noted(self: Outbox, conversation_ids: Any) -> None:
        reached()
        committed(self, conversation_ids)

    Outbox._committed = noted  # type: ignore[method-assign]


RARE_POINTS: dict[str, Callable[[Callable[[], None]], None]] = {
    "first message stored": _first_message_stored,
    "withdrawal stored without its message": _withdrawal_without_its_message,
    "removal stored": _removal_stored,
    "membership committed": _membership_committed,
}
"""Those that not every round has: event 1 of a direct conversation; the event row of a withdrawal, not yet the row it names;
somebody's removal; and, in a process of the groups, a change whose record nobody has begun to send."""


def _hold_edits() -> None:
    import asyncio
    import logging

    from svc.kernel.record import Kind
    from svc.messaging.appender import Appender

    put, held, open_again = Appender.put, list[Callable[[], None]](), [False]

    def put_later(self: Appender, record: Any) -> None:
        if record.kind is not Kind.EDIT or open_again[0]:
            put(self, record)
            return
        loop = asyncio.get_running_loop()
        held.append(lambda: loop.call_soon_threadsafe(put, self, record))
        logging.getLogger(__name__).warning("an edit is held")

    def release(*_: object) -> None:
        open_again[0] = True
        while held:
            held.pop(0)()

    signal.signal(signal.SIGUSR1, release)
    Appender.put = put_later  # type: ignore[method-assign]


def _clock(seconds: float) -> None:
    from svc.kernel.clock import SystemClock

    SystemClock.now_us = lambda self: (time.time_ns() // 1000) + int(seconds * 1e6)  # type: ignore[method-assign]


def _stumble() -> None:
    from svc.delivery.sequencer import Sequencer

    decide, mended = Sequencer.decide, [False]
    signal.signal(signal.SIGUSR1, lambda *_: mended.__setitem__(0, True))

    def decided(self: Sequencer, entry: Any, record: Any, facts: Any) -> Any:
        if b"stumble" in record.body and not mended[0]:
            raise ValueError("a bug that a word meets")
        return decide(self, entry, record, facts)

    Sequencer.decide = decided  # type: ignore[method-assign]


def _edge(number: int) -> None:
    from svc.backends.cassandra import Cassandra
    from svc.delivery import owner
    from svc.kernel.errors import Unavailable

    waves, write = owner.waves, Cassandra.write
    older: set[tuple[object, ...]] = set()
    left = [number]

    def cut(events: Any) -> Any:
        places = {(event.conversation_id, event.bucket) for event in events}
        older.update(place for place in places if (place[0], place[1] + 1) in places)
        return waves(events)

    async def written(self: Cassandra, mutations: Any) -> None:
        others = [mutation for mutation in mutations if mutation[1][:2] not in older]
        await write(self, others)
        if len(others) < len(mutations):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            raise Unavailable("rigged: the older bucket cannot be written")

    owner.waves = cut
    Cassandra.write = written  # type: ignore[method-assign]


def _cut(seconds: float, seed: str) -> None:
    import asyncio
    import logging
    import random

    from svc.messaging import subscriptions
    from svc.messaging.link import Link

    serve, dice, closing = Link._serve, random.Random(seed), set[asyncio.Task[None]]()
    subscriptions.LINGER_SECONDS = 0.2

    async def served(self: Link, stream: Any) -> None:
        def close() -> None:
            logging.getLogger(__name__).warning("a relay stream is cut")
            closing.add(task := asyncio.ensure_future(stream.close()))
            task.add_done_callback(closing.discard)

        timer = asyncio.get_running_loop().call_later(dice.expovariate(1 / seconds), close)
        try:
            await serve(self, stream)
        finally:
            timer.cancel()

    Link._serve = served  # type: ignore[method-assign]


def _narrow(chance: float, seed: str) -> None:
    import logging
    import random

    from svc.delivery.hub import NodeQueue

    limit, overflow, dice = NodeQueue._limit, NodeQueue._overflow, random.Random(seed)

    def overflows(self: NodeQueue) -> None:
        logging.getLogger(__name__).warning("a relay queue overflows")
        overflow(self)

    NodeQueue._limit = lambda self: 0 if dice.random() < chance else limit(self)  # type: ignore[method-assign]
    NodeQueue._overflow = overflows  # type: ignore[method-assign]


def _block() -> None:
    signal.signal(signal.SIGUSR1, lambda number, frame: time.sleep(3600))


def main() -> int:
    """Rig, then run the command."""
    rigs, *arguments = sys.argv[1:]
    for rig in rigs.split("; "):
        _rig(rig)
    sys.argv = ["stonechat", *arguments]
    from svc.__main__ import main as command

    return command()


def _rig(rig: str) -> None:
    match rig.split():
        case ["die", *point, number]:
            _die(" ".join(point), int(number), armed=True)
        case ["armed", "die", *point, number]:
            _die(" ".join(point), int(number), armed=False)
        case ["hold", "edits"]:
            _hold_edits()
        case ["clock", seconds]:
            _clock(float(seconds))
        case ["stumble"]:
            _stumble()
        case ["edge", number]:
            _edge(int(number))
        case ["cut", seconds, seed]:
            _cut(float(seconds), seed)
        case ["narrow", chance, seed]:
            _narrow(float(chance), seed)
        case ["block"]:
            _block()
        case _:
            raise SystemExit(f"no such rig: {rig}")


if __name__ == "__main__":
    sys.exit(main())
