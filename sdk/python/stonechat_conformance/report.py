"""What is told of a run: a line a case, a table, each failure, a count; for people, for a README and for programs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stonechat_conformance.case import Case
from stonechat_conformance.run import Failure, Outcome

OK, FAILED, NONE = "ok", "FAILED", "-"


@dataclass
class Row:
    """A row of the table: a case, or a group of them."""

    name: str
    cells: dict[str, str]
    cases: int = 1
    reasons: dict[str, int] = field(default_factory=dict)
    """Why a surface lacks cases of this row, and how many."""

    @property
    def title(self) -> str:
        """The name, with the number of cases where it sums some up."""
        return self.name if self.cases == 1 else f"{self.name} ({self.cases})"


def rows(cases: Iterable[Case], outcomes: Iterable[Outcome], surfaces: Sequence[str]) -> list[Row]:
    """The table. In a group a cell says how many are ok, and FAILED when one is; it is empty while nothing has run."""
    grouped: dict[str, list[Case]] = {}
    for case in cases:
        grouped.setdefault(case.group or case.name, []).append(case)
    came: dict[tuple[str, str], list[bool]] = {}
    for outcome in outcomes:
        key = (outcome.case.group or outcome.case.name, outcome.surface)
        came.setdefault(key, []).append(outcome.failure is None)
    return [
        Row(
            name,
            {each: _cell(group, each, came.get((name, each), [])) for each in surfaces},
            len(group),
            _lacking(group, surfaces),
        )
        for name, group in grouped.items()
    ]


def _cell(group: list[Case], surface: str, came: list[bool]) -> str:
    if all(surface in case.without for case in group):
        return NONE
    if not came:
        return ""
    if not all(came):
        return FAILED
    return OK if len(group) == 1 else f"{len(came)} {OK}"


def _lacking(group: list[Case], surfaces: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for case in group:
        for why in dict.fromkeys(case.without[each] for each in surfaces if each in case.without):
            found[why] = found.get(why, 0) + 1
    return found


def text_table(table: Sequence[Row], surfaces: Sequence[str]) -> list[str]:
    """The table for a terminal, and why there is no check where there is none."""
    width = max((len(row.title) for row in table), default=0)
    lines = [f"{'':{width}}  " + "  ".join(surfaces)]
    lines += [f"{row.title:{width}}  {cells(row, surfaces)}" for row in table]
    return lines + [f"- {why}" for why in _reasons(table)]


def cells(row: Row, surfaces: Sequence[str]) -> str:
    """The cells of a row, each as wide as its surface's name."""
    return "  ".join(f"{row.cells[name]:{len(name)}}" for name in surfaces).rstrip()


def markdown_table(table: Sequence[Row], surfaces: Sequence[str]) -> list[str]:
    """The table for a README."""
    lines = ["| case | " + " | ".join(surfaces) + " |", "|---" * (len(surfaces) + 1) + "|"]
    lines += [f"| {row.title} | " + " | ".join(row.cells[name] for name in surfaces) + " |" for row in table]
    return [*lines, "", "Not on every surface:", "", *(f"- {why}" for why in _reasons(table))]


def _reasons(table: Sequence[Row]) -> list[str]:
    """Why checks are absent, each reason once with the rows it is given for."""
    found: dict[str, list[str]] = {}
    for row in table:
        for why, number in row.reasons.items():
            found.setdefault(why, []).append(row.name if row.cases == 1 else f"{number} of {row.name}")
    return [f"{', '.join(names)}: {why}" for why, names in found.items()]


def failures(outcomes: Iterable[Outcome]) -> list[str]:
    """Each failure with what was expected and what came; what is the same on several surfaces, or kept several cases from
    running, is told once."""
    together: dict[tuple[str, Failure], list[Outcome]] = {}
    for outcome in outcomes:
        if failure := outcome.failure:
            together.setdefault((outcome.case.name if failure.ran else "", failure), []).append(outcome)
    lines: list[str] = []
    for (name, failure), same in together.items():
        title = name or counted(len(same), "check")
        lines += ["", f"FAILED  {title}  [{', '.join(dict.fromkeys(outcome.surface for outcome in same))}]"]
        told = {
            "promise": same[0].case.promise if name else "",
            "demanded": failure.what,
            "expected": failure.expected,
            "came": failure.came,
            "where": failure.where,
        }
        lines += [f"  {label:9} {value}" for label, value in told.items() if value]
    return lines


def count(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The last line."""
    failed = sum(1 for outcome in outcomes if outcome.failure)
    cases = len({outcome.case.name for outcome in outcomes})
    result = f"{failed} FAILED" if failed else "all green"
    done = f"{counted(cases, 'case')}, {counted(len(outcomes), 'check')}"
    return f"{done}, {len(outcomes) - failed} ok, {failed} failed in {seconds:.0f} s: {result}"


def counted(number: int, what: str) -> str:
    """`1 case`, `2 cases`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def as_json(url: str, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "url": url,
        "outcomes": [
            {
                "case": outcome.case.name,
                "group": outcome.case.group,
                "promise": outcome.case.promise,
                "surface": outcome.surface,
                "outcome": "failed" if outcome.failure else "ok",
                "seconds": round(outcome.seconds, 3),
                **(
                    {name: getattr(outcome.failure, name) for name in ("what", "expected", "came", "where")}
                    if outcome.failure
                    else {}
                ),
            }
            for outcome in outcomes
        ],
    }
