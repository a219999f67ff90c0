"""Runs a few cases of the suite against a server, as the command does."""

from collections.abc import Collection

from stonechat_conformance.case import Case
from stonechat_conformance.patience import Patience
from stonechat_conformance.people import server
from stonechat_conformance.run import Outcome, run
from stonechat_conformance.suite import suite

# What never comes is waited for in vain: for so long.
PATIENCE = Patience(seconds=3, case_seconds=40)


def named(*names: str) -> list[Case]:
    """Cases by their names, or by their groups'."""
    found = [case for case in suite() if case.name in names or case.group in names]
    missing = set(names) - {case.name for case in found} - {case.group for case in found}
    assert not missing, f"no such case: {missing}"
    return found


async def check(url: str, cases: Collection[Case], *surfaces: str, patience: Patience = PATIENCE) -> list[Outcome]:
    """The outcomes."""
    async with server(url, patience) as tested:
        return [outcome async for _, outcomes in run(tested, cases, list(surfaces)) for outcome in outcomes]


def failed(outcomes: list[Outcome]) -> dict[str, str]:
    """What failed, and why."""
    return {outcome.case.name: str(outcome.failure) for outcome in outcomes if outcome.failure}
