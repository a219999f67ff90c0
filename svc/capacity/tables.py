"""Plans as tables, for a terminal and for a page. Several plans stand side by side."""

from collections.abc import Sequence
from dataclasses import fields

from svc.capacity.model import Inputs
from svc.capacity.plan import Plan


def numeral(value: float) -> str:
    """Three digits that count, in full: 694,000, 1,620, 0.0372."""
    if value == 0 or value != value or value in (float("inf"), float("-inf")):
        return f"{value:g}"
    rounded = float(f"{value:.3g}")
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    return f"{rounded:.10f}".rstrip("0").rstrip(".")


def input_rows(given: Inputs) -> list[tuple[str, str, str]]:
    """(name, value with its unit, what it is and where it comes from) of each input."""
    default = Inputs()
    rows = []
    for item in fields(Inputs):
        value = getattr(given, item.name)
        source = item.metadata["source"] if value == getattr(default, item.name) else "given"
        shown = f"{numeral(value)} {item.metadata['unit']}".strip()
        rows.append((item.name, shown, f"{item.metadata['doc']} ({source})"))
    return rows


def figure_rows(plans: Sequence[Plan]) -> list[tuple[str, ...]]:
    """(name, value of each plan …, unit, formula) of each figure. Counts are whole; the rest has three digits."""
    rows = []
    for lines in zip(*(plan.figures.values() for plan in plans), strict=True):
        values = (f"{figure.value:,.0f}" if figure.unit in _WHOLE else numeral(figure.value) for figure in lines)
        rows.append((lines[0].name, *values, lines[0].unit, lines[0].formula))
    return rows


_WHOLE = {"processes", "machines", "partitions", "entries"}


def terminal(plan: Plan) -> str:
    """Everything about one plan."""
    lines = ["Inputs (another value: stonechat capacity NAME=VALUE …)", ""]
    lines += _aligned(input_rows(plan.inputs))
    lines += ["", "Plan", ""]
    lines += _aligned([(row[0], f"{row[1]} {row[2]}".strip(), row[3]) for row in figure_rows([plan])])
    lines += ["", *(f"DOES NOT FIT: {what}" for what in plan.trouble)] if plan.trouble else []
    return "\n".join(lines)


def page(plans: Sequence[Plan]) -> str:
    """Markdown: the inputs of the first, then the figures of all side by side."""
    inputs = [f"| `{name}` | {value} | {doc} |" for name, value, doc in input_rows(plans[0].inputs)]
    heads = " | ".join(f"{plan.inputs.daily_users / 1e6:g} million" for plan in plans)
    rows = [f"| `{name}` | {' | '.join(rest)} |" for name, *rest in figure_rows(plans)]
    return "\n".join(
        [
            "| input | default | what it is |",
            "|---|---|---|",
            *inputs,
            "",
            f"| figure | {heads} | unit | formula |",
            "|---|" + "---|" * (len(plans) + 2),
            *rows,
        ]
    )


def _aligned(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return [f"{name:<{first}}  {value:>{second}}  {text}" for name, value, text in rows]
