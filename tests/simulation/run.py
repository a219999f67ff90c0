"""Runs one schedule: a scenario, a seed, the real code."""

import asyncio
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from unittest.mock import patch

from svc.delivery import model, sequencer
from svc.delivery.model import Verdict
from svc.delivery.sequencer import Facts, Sequencer
from svc.kernel import clock
from svc.kernel.eventlog import LoggedEntry
from svc.kernel.record import Record
from svc.messaging import subscriptions
from tests.simulation.loop import StuckError, VirtualLoop
from tests.simulation.reference import POISON
from tests.simulation.scenarios import SCENARIOS, Settings
from tests.simulation.world import Violation, World

EXPECTED_ERRORS = (
    "a record cannot be processed",
    # S7: a new owner may be slower than the one before, which lives on.
    "an owner knows less than was pushed: was its store restored from an old copy?",
)


@dataclass(slots=True)
class Result:
    """What came of a schedule."""

    scenario: str
    seed: int
    violation: Violation | None
    lines: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    events: int = 0
    seconds: float = 0.0

    @property
    def command(self) -> str:
        """How to see it again."""
        return f"python -m tests.simulation --scenario {self.scenario} --seed {self.seed} --trace"


class _Errors(logging.Handler):
    """Whatever the real code logs as an error is a failure, unless the scenario means it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.world: World | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.world is None or record.msg in EXPECTED_ERRORS:
            return
        if record.levelno >= logging.CRITICAL:
            if not self.world.incidents:
                self.world.fail("no incident where there is none", str(getattr(record, "why", record.getMessage())))
            return
        error = record.exc_info[1] if record.exc_info else ""
        self.world.fail("nothing fails unforeseen", f"{record.getMessage()} {error!r}")


ERRORS = _Errors()


@contextmanager
def quiet() -> Iterator[None]:
    """The real code's errors are heard, the rest of its log is not."""
    logger = logging.getLogger("svc")
    before = (logger.level, logger.propagate)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    logger.addHandler(ERRORS)
    try:
        yield
    finally:
        logger.removeHandler(ERRORS)
        logger.setLevel(before[0])
        logger.propagate = before[1]


@contextmanager
def _patched(dice: random.Random, settings: Settings) -> Iterator[None]:
    # A plain stack of patches: this runs for every schedule.
    decide = Sequencer.decide

    def stumbling(self: Sequencer, entry: LoggedEntry, record: Record, facts: Facts) -> Verdict:
        if POISON in record.body:
            raise ValueError("a bug that one record meets")
        return decide(self, entry, record, facts)

    with (
        patch.object(clock, "random", SimpleNamespace(uniform=dice.uniform)),
        patch.object(model, "BUCKET_EVENTS", settings.bucket_events),
        patch.object(sequencer, "_KEYS_PER_CONVERSATION", settings.keys_kept),
        patch.object(subscriptions, "LINGER_SECONDS", settings.linger_seconds),
        patch.object(Sequencer, "decide", stumbling),
        patch.object(Sequencer.__init__, "__defaults__", (settings.state_bytes,)),
    ):
        yield


def run_schedule(scenario: str, seed: int, tracing: bool = False) -> Result:
    """One schedule from beginning to end."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    result = Result(scenario, seed, None)
    try:
        loop.run_until_complete(_run(result, tracing))
    except Violation as violation:
        result.violation = violation
    except StuckError as error:
        result.violation = Violation("everything comes to rest", str(error))
    finally:
        ERRORS.world = None
        result.seconds = loop.time() - 1000
        loop.finish()
        asyncio.set_event_loop(None)
    return result


async def _run(result: Result, tracing: bool) -> None:
    settings = Settings.draw(random.Random(repr((result.seed, result.scenario))))
    world = World((result.scenario, result.seed), tracing, settings)
    result.lines = world.lines
    ERRORS.world = world
    world.loop.set_exception_handler(
        lambda loop, context: world.fail("the harness works", f"{context['message']} {context.get('exception')!r}")
    )

    async def whole() -> None:
        await SCENARIOS[result.scenario](world)
        await world.heal()

    with _patched(world.random, settings):
        task = world.loop.create_task(whole())
        await asyncio.wait([task, world.failed], return_when=asyncio.FIRST_COMPLETED)
        result.answers, result.events = world.people.answers, world.checker.acknowledged_events
        if world.failed.done():
            task.cancel()
            world.failed.result()
        task.result()
        world.failed.cancel()
