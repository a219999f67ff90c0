"""The one list of cases."""

from stonechat_conformance.case import Case, cases_of
from stonechat_conformance.cases import groups, messages, reading, refusals, sessions, tokens
from stonechat_conformance.generated.access import access_cases
from stonechat_conformance.generated.pages import page_cases
from stonechat_conformance.generated.repeats import repeat_cases
from stonechat_conformance.generated.rules import rule_cases

_WRITTEN = (messages, reading, groups, sessions, refusals, tokens)


def suite() -> list[Case]:
    """All of them, in the order of the table."""
    written = [case for module in _WRITTEN for case in cases_of(module)]
    return [*written, *access_cases(), *repeat_cases(), *page_cases(), *rule_cases()]
