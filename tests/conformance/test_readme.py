"""The table in the README is that of the suite: the same cases, the same surfaces, and nothing in it that failed."""

import pytest

from stonechat_conformance import report
from stonechat_conformance.run import Outcome
from stonechat_conformance.suite import suite
from stonechat_conformance.surfaces.table import SURFACES
from tools.conformance import BEGIN, END, README, written


def test_the_readme_has_every_case_and_surface():
    told = README.read_text().partition(BEGIN)[2].partition(END)[0]
    green = [Outcome(case, surface, None) for case in suite() for surface in case.surfaces()]
    table = report.rows(suite(), green, list(SURFACES))
    assert told.splitlines() == report.markdown_table(table, list(SURFACES)), (
        "run `make conformance` and commit the result"
    )


def test_the_table_is_written_between_its_markers():
    assert written(f"a\n{BEGIN}old\n{END}z\n", "new\n") == f"a\n{BEGIN}new\n{END}z\n"
    with pytest.raises(ValueError, match="no place for the table"):
        written("no markers", "new\n")
