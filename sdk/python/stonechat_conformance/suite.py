"""The one list of cases."""

from stonechat_conformance.case import Case, cases_of
from stonechat_conformance.cases import groups, messages, reading, refusals, sessions, tokens

_WRITTEN = (messages, reading, groups, sessions, refusals, tokens)


def suite() -> list[Case]:
    """All of them, in the order of the table."""
    return [case for module in _WRITTEN for case in cases_of(module)]
