"""A plan: figures that follow from inputs and from each other, and the limits that it breaks."""

import math
from dataclasses import dataclass

from svc.capacity.model import Inputs

ZONES = 3
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a plan: `value` in `unit`, by `formula`, which names inputs and earlier figures."""

    name: str
    value: float
    unit: str
    formula: str


class Plan:
    """The figures in the order in which they follow from each other. `trouble` says which limits are broken."""

    def __init__(self, given: Inputs) -> None:
        self.inputs = given
        self.figures: dict[str, Figure] = {}
        self.trouble: list[str] = []

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value

    def add(self, name: str, value: float, unit: str, formula: str) -> float:
        """One more figure; returns its value."""
        self.figures[name] = Figure(name, value, unit, formula)
        return value

    def must(self, holds: bool, what: str) -> None:
        """A limit that the plan has to keep."""
        if not holds:
            self.trouble.append(what)


def spread(needed: float) -> float:
    """Whole ones, and the same number in each zone."""
    return float(max(1, math.ceil(needed / ZONES - 1e-9)) * ZONES)
