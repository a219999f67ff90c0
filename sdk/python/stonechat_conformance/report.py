"""What is told of a run: a line a case, a table, each failure, a count; for people, for a README and for programs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stonechat_conformance.case import Case
from stonechat_conformance.run import Failure, Outcome

OK, FAILED, NONE = "ok", "FAILED", "-"


@dataclass
class Row:
    """A row of the table: a case, or a group of them. `reasons` says why a surface has none."""

    name: str
    cells: dict[str, str]
    cases: int = 1
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name, with the number of cases where it sums some up."""
        return self.name if self.cases == 1 else f"{self.name} ({self.cases})"


def rows(cases: Iterable[Case], outcomes: Iterable[Outcome], surfaces: Sequence[str]) -> list[Row]:
    """The table. A cell of a group is FAILED when one of its cases is; empty while nothing has run."""
    table: dict[str, Row] = {}
    for case in cases:
        name = case.group or case.name
        if name in table:
            table[name].cases += 1
        row = table.setdefault(name, Row(name, dict.fromkeys(surfaces, NONE)))
        for surface in surfaces:
            if surface in case.without:
                row.reasons.setdefault(surface, case.without[surface])
            elif row.cells[surface] == NONE:
                row.cells[surface] = ""
    for outcome in outcomes:
        cells = table[outcome.case.group or outcome.case.name].cells
        if cells[outcome.surface] != FAILED:
            cells[outcome.surface] = FAILED if outcome.failure else OK
    for row in table.values():
        row.reasons = {surface: why for surface, why in row.reasons.items() if row.cells[surface] == NONE}
    return list(table.values())


def text_table(table: Sequence[Row], surfaces: Sequence[str]) -> list[str]:
    """The table for a terminal, and why there is no cell where there is none."""
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
    return [*lines, "", *(f"`-` {why}  " for why in _reasons(table))]


def _reasons(table: Sequence[Row]) -> list[str]:
    """Why cells are empty, each reason once with the rows it is given for."""
    found: dict[str, list[str]] = {}
    for row in table:
        for why in dict.fromkeys(row.reasons.values()):
            found.setdefault(why, []).append(row.title)
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
        title = name or f"{len(same)} cases"
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
    return f"{cases} cases, {len(outcomes)} checks, {len(outcomes) - failed} ok, {failed} failed in {seconds:.0f} s: {result}"


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
