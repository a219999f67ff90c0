"""`stonechat replay`: what the log's records became is written to the store again."""

from svc.backends.opening import open_agreement, open_log, open_messages
from svc.delivery.replaying import Replayed
from svc.delivery.wiring import replaying
from svc.kernel.clock import SystemClock
from svc.kernel.errors import FailedPrecondition
from svc.partitions import failed, shared


async def replay(since_us: int | None) -> int:
    """Replay all partitions, telling of each; returns the exit code. Owners need not be stopped. Raises FailedPrecondition
    where the store is a file."""
    settings = shared()
    if not settings.cassandra or not settings.kafka:
        raise FailedPrecondition(
            "a store that is a file has no replicas to repair: set STONECHAT_KAFKA and STONECHAT_CASSANDRA"
            " as the processes have them"
        )
    clock = SystemClock()
    async with (
        open_agreement(settings, failed) as agreement,
        open_log(settings, clock, {}, failed) as (log, _),
        open_messages(settings, log, {}) as messages,
    ):
        await replaying(log, messages, agreement.coordination, clock).replay(since_us, _tell)
    return 0


def _tell(done: Replayed) -> None:
    print(
        f"partition {done.partition}: offsets {done.start} to {done.end}, {done.records} records,"
        f" {done.written} events written again",
        flush=True,
    )
