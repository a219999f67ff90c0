"""A case: one promise, checked on every surface that can keep it."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

from stonechat_conformance.people import People
from stonechat_conformance.surfaces.table import SURFACES

Check = Callable[[People], Awaitable[None]]

CURSORS = dict.fromkeys(("connect", "grpc-web", "grpc-web-text"), "resumes by what is known, not by a cursor")
"""`without` of cases about cursors."""
HELLO = dict.fromkeys(("rest+sse", "rest+poll", "grpc+poll"), "resumes by cursor, says no Hello")
"""`without` of cases about Hello."""


FRAMES = dict.fromkeys(("grpc-web", "grpc-web-text", "rest+sse", "rest+poll", "grpc+poll"), "has no stream of requests")
"""`without` of cases about the frames of the native stream."""


@dataclass(frozen=True)
class Case:
    """`check` is given people on the surface in question; it raises when the promise is broken.

    `without` has the surfaces on which the promise cannot be asked for, each with the reason. `group` is the row of the table
    that sums it up; cases that stand for themselves have none.
    """

    name: str
    promise: str
    check: Check
    without: Mapping[str, str] = field(default_factory=dict)
    group: str = ""

    def surfaces(self) -> list[str]:
        """Where it runs."""
        return [name for name in SURFACES if name not in self.without]


def case(without: Mapping[str, str] | None = None) -> Callable[[Check], Case]:
    """Make a case of a function: its name is the function's, its promise the docstring."""

    def make(check: Check) -> Case:
        name = getattr(check, "__name__", "").replace("_", " ")
        return Case(name, " ".join((inspect.getdoc(check) or "").split()), check, without or {})

    return make


def cases_of(module: ModuleType) -> list[Case]:
    """The cases that a module defines, alone or in lists, in their order."""
    found: list[Case] = []
    for value in vars(module).values():
        if isinstance(value, Case):
            found.append(value)
        elif isinstance(value, list):
            found += [each for each in value if isinstance(each, Case)]
    return found
