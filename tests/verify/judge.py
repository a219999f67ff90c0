"""The shipped check, and its findings in short."""

from svc.backends.messages_schema import MESSAGES_FILE
from svc.kernel.clock import SystemClock
from svc.kernel.settings import Settings
from svc.verify.verdict import Verdict
from svc.verify.wiring import verify
from tests.verify.moved import moved
from tests.verify.town import Town


class HurriedClock(SystemClock):
    """Who sleeps is awake at once, and finds that the time has passed."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds


def judged(town: Town, *, settled: bool = True, with_ledgers: bool = True) -> Verdict:
    """The verdict on a town, with every finding."""
    ledgers = [town.ledgers] if with_ledgers else []
    return verify(Settings(), town.data, ledgers, (), settled, 1000, SystemClock(), lambda text: None)


def judged_on_cassandra(town: Town, *, settled: bool = True, with_ledgers: bool = True) -> Verdict:
    """The same, of what the town has in its file once it lies on Cassandra."""
    ledgers = [town.ledgers] if with_ledgers else []
    with moved(town.data / MESSAGES_FILE) as made:
        return verify(made.settings, None, ledgers, (), settled, 1000, HurriedClock(), lambda text: None)


def found(verdict: Verdict) -> list[tuple[str, str, int]]:
    """(what, conversation, seq) of every finding."""
    return [(str(one.fault), one.conversation_id, one.seq) for one in verdict.findings]
