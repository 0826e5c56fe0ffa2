# SPDX-License-Identifier: MIT
"""What happens inside takes no longer than the request for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from autotune.machine.vm import pace

SECONDS = st.floats(0.0, 1e6)


@given(SECONDS, SECONDS)
def test_a_true_clock_is_never_blamed_whatever_a_request_takes_besides(inside_s: float, besides_s: float) -> None:
    assert pace.problem(inside_s, inside_s + besides_s) is None


@given(st.floats(1.0, 1e4), st.floats(1.6, 100.0))
def test_a_clock_that_is_much_too_fast_shows_in_a_run_of_a_second(outside_s: float, times: float) -> None:
    said = pace.problem(outside_s * times, outside_s)

    assert said is not None
    assert said.startswith("its clock is too fast")


def test_small_differences_of_clocks_and_of_short_times_are_none() -> None:
    assert pace.problem(10.4, 10.0) is None
    assert pace.problem(0.4, 0.0) is None
