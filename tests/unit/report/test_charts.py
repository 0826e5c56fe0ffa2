# SPDX-License-Identifier: MIT
"""Places on charts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from autotune.records import BASELINE, Candidate
from autotune.report import charts, html
from tests.support import sessions


def test_an_axis_of_speedups_has_1_in_its_middle_and_holds_every_interval() -> None:
    axis = charts.speedup_axis([sessions.interval(1.084, 1.051, 1.118), sessions.interval(0.88, 0.85, 0.91)])
    assert axis.place(1.0) == pytest.approx(50)
    assert charts.MARGIN < axis.place(0.85) < axis.place(1.118) < 100 - charts.MARGIN


@pytest.mark.parametrize("high", [math.inf, 1e300, 40.0])
def test_a_wild_interval_is_cut_at_the_edge_and_marked(high: float) -> None:
    wild = sessions.interval(1.1, 0.0, high)
    axis = charts.speedup_axis([wild])
    assert axis.high <= charts.MOST_GAIN + 1e-9
    drawn = charts.interval_bar(wild, axis, "undecided")
    assert "&lt;</text>" in drawn
    assert "&gt;</text>" in drawn


@pytest.mark.parametrize("high", [1.001, 1.03, 1.2, 1.9, 3.9])
def test_ticks_are_round_few_and_have_1(high: float) -> None:
    ticks = charts.speedup_ticks(charts.speedup_axis([sessions.interval(1.0, 1 / high, high)]))
    assert 1.0 in ticks
    assert 3 <= len(ticks) <= 7
    assert ticks == sorted(ticks)


def test_equal_values_are_in_the_middle() -> None:
    assert charts.value_axis([2.0, 2.0]).place(2.0) == pytest.approx(50)
    assert charts.value_axis([0.0]).place(0.0) == pytest.approx(50)


def test_every_value_is_in_one_bin() -> None:
    numbers = [1.0, 1.5, 2.0, 2.0, 3.0]
    counts = charts.bin_counts(numbers, charts.value_axis(numbers))
    assert sum(counts) == 5
    assert counts[0] == 1
    assert counts[-1] == 1


def test_runs_are_in_order_of_time_without_warm_up() -> None:
    trials = (
        sessions.trial(round=2, started_at=20.0),
        sessions.trial(phase="warmup", started_at=1.0),
        sessions.trial(round=1, started_at=10.0),
    )
    runs = charts.measured(sessions.session(trials=trials))
    assert [one.round for one in runs[BASELINE]] == [1, 2]


@pytest.mark.slow
def test_a_long_session_is_thinned_evenly() -> None:
    trials = tuple(sessions.trial(round=number, started_at=float(number)) for number in range(10_000))
    runs = charts.measured(sessions.session(trials=trials))[BASELINE]
    assert 2000 < len(runs) <= charts.MOST_POINTS
    assert runs[-1].round > 9990


def test_a_candidate_is_drawn_beside_the_eevdf_that_its_speedup_compares_with() -> None:
    """Not beside EEVDF at its own value: that would flatter one that only made up for a bad value."""
    slow, best = (Candidate(BASELINE, params=(("jobs", jobs),)) for jobs in ("2", "8"))
    batch = replace(sessions.BATCH, params=slow.params)
    done = sessions.session(
        results=(
            sessions.result(batch, "faster", against=best.key),
            sessions.result(best, None),
            sessions.result(slow, "slower", against=best.key),
        ),
        trials=tuple(sessions.trial(one.key) for one in (slow, best, batch)),
    )
    assert charts.compared(done, charts.measured(done)) == [best.key, batch.key]
    assert {charts.baseline_of(done, one) for one in (slow, best, batch)} == {best.key}
    assert html.page(done).count("runs baseline") == 2, "its panel, and the histogram"
