"""`stonechat` with one thing rigged, for faults that no signal from outside hits at the right moment.

`python -m tests.faults.rigged RIG ARGUMENTS…`: the command with these arguments, in which RIG happens:

    die POINT N     SIGKILL at the N-th time that this point is reached with something to lose (see POINTS)
    clock SECONDS   the machine's wall clock is wrong by so much
    block           SIGUSR1 makes the event loop stand still, for good; other threads go on
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any


def _die(point: str, number: int) -> None:
    left = [number]

    def reached() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    POINTS[point](reached)


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


def _clock(seconds: float) -> None:
    from svc.kernel.clock import SystemClock

    SystemClock.now_us = lambda self: (time.time_ns() // 1000) + int(seconds * 1e6)  # type: ignore[method-assign]


def _block() -> None:
    signal.signal(signal.SIGUSR1, lambda number, frame: time.sleep(3600))


def main() -> int:
    """Rig, then run the command."""
    rig, *arguments = sys.argv[1:]
    match rig.split():
        case ["die", *point, number]:
            _die(" ".join(point), int(number))
        case ["clock", seconds]:
            _clock(float(seconds))
        case ["block"]:
            _block()
        case _:
            raise SystemExit(f"no such rig: {rig}")
    sys.argv = ["stonechat", *arguments]
    from svc.__main__ import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
