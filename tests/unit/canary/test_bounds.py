# SPDX-License-Identifier: MIT
"""The windowed percentile, and what is a breach of the bounds."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune import canary
from autotune.canary import Bounds, Breach, Judge, LateWindow, Look, Wake, high_percentile
from autotune.records import KernelState
from tests.support.sysfs_kernel import OPS, QUIET

ENABLED = KernelState("enabled", OPS, 5, 0, True)

latenesses = st.floats(0.0, 10.0, allow_nan=False)


# --- the windowed percentile -----------------------------------------------------------------------------


@given(st.lists(latenesses, min_size=2, max_size=400))
def test_the_high_percentile_has_as_many_values_below_it_as_it_says_and_never_is_the_lone_worst(
    values: list[float],
) -> None:
    found = high_percentile(values)
    ordered = sorted(values)
    assert found in values
    assert found <= ordered[-2]
    at_least = min(math.ceil(0.99 * len(values)), len(values) - 1)
    assert sum(value <= found for value in values) >= at_least
    assert sum(value < found for value in values) < at_least


@given(st.lists(latenesses, min_size=1, max_size=200), st.randoms())
def test_the_high_percentile_does_not_depend_on_the_order(values: list[float], chance: random.Random) -> None:
    mixed = list(values)
    chance.shuffle(mixed)
    assert high_percentile(mixed) == high_percentile(values)


def test_of_nothing_there_is_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        high_percentile([])


@given(st.lists(st.tuples(st.floats(0.0, 0.5), latenesses), min_size=1, max_size=200), st.floats(0.05, 3.0))
def test_a_window_knows_the_wakes_of_its_time_and_no_others(steps: list[tuple[float, float]], window_s: float) -> None:
    window, wakes, now_s = LateWindow(window_s), [], 100.0
    for step_s, late_s in steps:
        now_s += step_s
        wakes.append(Wake(now_s, late_s))
        window.add(wakes[-1])
        inside = [wake.late_s for wake in wakes if wake.at_s > now_s - window_s]
        assert window.p99_s() == (high_percentile(inside) if len(inside) >= 3 else None)


# --- the bounds ------------------------------------------------------------------------------------------


def steady(late_s: float, count: int, start_s: float = 100.0) -> list[Wake]:
    return [Wake(start_s + number * (0.02 + late_s), late_s) for number in range(count)]


def test_wakes_in_time_are_no_breach_and_are_counted() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.wakes(102.0, steady(0.003, 50)) is None
    assert (judge.count, judge.worst_s, judge.worst_p99_s) == (50, 0.003, 0.003)


def test_one_wake_just_within_the_limit_is_borne_and_one_beyond_is_not() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.wakes(102.0, [*steady(0.001, 40), Wake(101.5, 0.25)]) is None
    found = judge.wakes(103.0, [Wake(102.9, 0.26)])
    assert found is not None
    assert (found.bound, found.value, found.limit) == ("wake-up latency", 0.26, 0.25)
    assert found.since_s == pytest.approx(102.9 - 0.01)
    assert found.text() == "wake-up latency: 260 ms, limit 250 ms"


def test_a_wake_that_does_not_come_is_a_breach_before_it_comes() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.overdue(100.24, 100.0) is None
    found = judge.overdue(100.3, 100.0)
    assert found is not None
    assert (found.bound, found.since_s, found.noticed_s) == ("wake-up latency", 100.25, 100.3)
    assert judge.worst_s == pytest.approx(0.3)


def test_being_late_again_and_again_is_a_breach_though_no_wake_is_very_late() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.wakes(101.0, steady(0.049, 10)) is None
    found = judge.wakes(102.0, steady(0.06, 10, 101.0))
    assert found is not None
    assert (found.bound, found.value, found.limit) == ("wake-up latency p99", 0.06, 0.05)


def test_a_single_hiccup_is_no_breach() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.wakes(101.0, [*steady(0.001, 20), Wake(100.6, 0.2)]) is None


@pytest.mark.parametrize(
    ("before", "late_limit_s", "p99_limit_s"),
    [
        (Look(100, 0.0005, 0.001), 0.25, 0.05),
        (Look(100, 0.02, 0.03), 0.4, 0.2),
        (Look(100, 0.02, 0.4), 0.8, 0.2),
    ],
)
def test_a_slow_machine_is_compared_with_itself(before: Look, late_limit_s: float, p99_limit_s: float) -> None:
    judge = Judge(Bounds(), before, OPS)
    assert judge.late_limit_s == pytest.approx(late_limit_s)
    assert judge.p99_limit_s == pytest.approx(p99_limit_s)


def pressed(judge: Judge, share: float, seconds: float, start_s: float = 100.0) -> Breach | None:
    """Half-second readings in which some task waited `share` of the time."""
    found = None
    for number in range(int(seconds * 2) + 1):
        found = found or judge.pressure(start_s + number / 2, 50.0 + share * number / 2)
    return found


def test_pressure_far_above_before_is_borne_for_some_seconds_only() -> None:
    assert pressed(Judge(Bounds(), QUIET, OPS), 0.9, 3.0) is None
    found = pressed(Judge(Bounds(), QUIET, OPS), 0.9, 5.0)
    assert found is not None
    assert found.bound == "CPU pressure"
    assert found.value == pytest.approx(0.9)
    assert found.text() == "CPU pressure: 90 %, limit 60 %"


def test_pressure_that_eases_starts_anew() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert pressed(judge, 0.9, 3.0) is None
    assert judge.pressure(104.0, 52.8) is None
    assert pressed(judge, 0.9, 3.0, 105.0) is None


@pytest.mark.parametrize(
    ("bounds", "before"),
    [
        (Bounds(), Look(100, 0.001, 0.002, 0.6)),
        (Bounds(), Look(100, 0.001, 0.002, None)),
        (Bounds(pressure_rise=None), QUIET),
        (canary.RUN_BOUNDS, QUIET),
    ],
)
def test_pressure_is_not_judged_where_it_says_nothing(bounds: Bounds, before: Look) -> None:
    judge = Judge(bounds, before, OPS)
    assert pressed(judge, 1.0, 10.0) is None
    assert judge.worst_pressure == pytest.approx(1.0)


def test_a_kernel_that_counts_no_pressure_is_fine() -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    assert judge.pressure(100.0, None) is None
    assert judge.worst_pressure is None


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (KernelState("disabled", None, 5, 0, False), "disabled"),
        (KernelState("disabling", OPS, 5, 0, True), "disabling (at_test)"),
        (KernelState("enabled", "scx_other", 6, 0, True), "enabled (scx_other)"),
        (KernelState("enabled", OPS, 6, 0, True), "enabled (at_test), attached again"),
    ],
)
def test_another_state_or_name_or_a_second_attaching_is_a_breach(seen: KernelState, said: str) -> None:
    judge = Judge(Bounds(), QUIET, OPS)
    judge.enable_seq = 5
    assert judge.state(100.0, ENABLED) is None
    found = judge.state(100.5, seen)
    assert found is not None
    assert (found.bound, found.value, found.limit) == ("sched_ext state", said, "enabled (at_test)")


def test_under_the_kernel_s_own_scheduler_nothing_is_a_breach_but_all_is_counted() -> None:
    judge = Judge(Bounds(), QUIET, None)
    assert judge.wakes(101.0, steady(0.9, 10)) is None
    assert judge.overdue(100.9, 100.0) is None
    assert judge.state(100.0, KernelState("disabled", None, 0, 0, None)) is None
    assert judge.worst_s == pytest.approx(0.9)
