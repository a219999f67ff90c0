"""The shipped check, and its findings in short."""

from svc.kernel.clock import SystemClock
from svc.kernel.settings import Settings
from svc.verify.verdict import Verdict
from svc.verify.wiring import verify
from tests.verify.town import Town


def judged(town: Town, *, settled: bool = True, with_ledgers: bool = True) -> Verdict:
    """The verdict on a town, with every finding."""
    ledgers = [town.ledgers] if with_ledgers else []
    return verify(Settings(), town.data, ledgers, (), settled, 1000, SystemClock(), lambda text: None)


def found(verdict: Verdict) -> list[tuple[str, str, int]]:
    """(what, conversation, seq) of every finding."""
    return [(str(one.fault), one.conversation_id, one.seq) for one in verdict.findings]
