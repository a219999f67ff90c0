"""What a request costs and what a thing in it costs are told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.unit_costs import fitted


@given(st.floats(0, 1e5), st.floats(0, 1e4), st.integers(2, 1000))
def test_both_parts_are_found_again(request_us: float, thing_us: float, many: int):
    alone, together = request_us + thing_us, request_us + many * thing_us
    assert fitted(alone, together, many) == pytest.approx((request_us, thing_us), rel=1e-6, abs=1e-6)
