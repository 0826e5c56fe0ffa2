# SPDX-License-Identifier: MIT
"""What the model learns from results, and what it never suggests."""

from __future__ import annotations

import itertools
import logging
import statistics
import sys
import warnings
from collections.abc import Callable, Sequence

import pytest

from autotune.planner import knob_model, knob_space
from autotune.planner.knob_model import Learned, suggestions
from autotune.records import Candidate
from autotune.schedext.catalogue.catalog import Catalog
from tests.support.sessions import machine

CATALOG = Catalog.load()
FIFO = knob_space.of(CATALOG.get("at_fifo"), machine())
LAVD = knob_space.of(CATALOG.get("scx_lavd"), machine())
SLICES_US = [int(value) for value in FIFO.dimensions[0].values]

pytestmark = pytest.mark.slow


def anything(_candidate: Candidate) -> bool:
    return True


def slices(learned: Sequence[Learned], seed: int, count: int = 4) -> list[int]:
    found = itertools.islice(suggestions(FIFO, learned, seed, anything), count)
    return [int(dict(one.knobs).get("slice_us", 20000)) for one in found]


def learn(value: Callable[[int], float | None]) -> list[Learned]:
    return [Learned({"slice_us": slice_us}, value(slice_us)) for slice_us in SLICES_US[::2]]


def places(slices_us: Sequence[int]) -> float:
    return statistics.fmean(SLICES_US.index(one) for one in slices_us)


def test_it_goes_where_results_were_good() -> None:
    low = [places(slices(learn(lambda one: -SLICES_US.index(one) / 100), seed)) for seed in range(6)]
    high = [places(slices(learn(lambda one: SLICES_US.index(one) / 100), seed)) for seed in range(6)]
    assert statistics.fmean(low) + 5 < statistics.fmean(high)


def test_it_keeps_away_from_failures() -> None:
    """All succeed equally, but long slices fail."""
    failed = learn(lambda one: None if one > 5000 else 0.01)
    assert statistics.fmean(places(slices(failed, seed)) for seed in range(6)) < SLICES_US.index(5000)


def test_the_same_seed_suggests_the_same_and_another_seed_does_not() -> None:
    learned = learn(lambda _one: 0.0)
    assert slices(learned, 1) == slices(learned, 1)
    assert len({tuple(slices(learned, seed)) for seed in range(4)}) > 1


def test_none_comes_twice_or_breaks_a_rule() -> None:
    learned = [Learned({}, 0.0), Learned({"slice_max_us": 500, "slice_min_us": 500, "pinned_slice_us": 500}, 0.05)]
    found = list(suggestions(LAVD, learned, 3, anything))
    assert len(set(found)) == len(found) > 5
    for candidate in found:
        CATALOG.validate(candidate)


def test_what_is_not_wanted_does_not_come() -> None:
    assert list(suggestions(FIFO, [], 1, lambda _one: False)) == []


def test_a_grid_that_is_used_up_ends() -> None:
    found = list(suggestions(FIFO, learn(lambda _one: 0.0), 1, anything))
    assert len(found) == len(set(found)) <= len(SLICES_US)


def test_settings_outside_of_the_grid_teach_nothing_and_do_no_harm() -> None:
    assert slices([Learned({"partial": True}, 0.5)], 1) == slices([], 1)


def test_it_is_silent_and_leaves_logging_and_warnings_as_they_were(capfd: pytest.CaptureFixture[str]) -> None:
    import optuna

    before = optuna.logging.get_verbosity(), list(warnings.filters), logging.root.level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slices(learn(lambda one: None if one > 5000 else 0.01), 1)
    assert (optuna.logging.get_verbosity(), list(warnings.filters), logging.root.level) == before
    assert capfd.readouterr() == ("", "")


def test_without_optuna_it_is_not_available_and_says_so_by_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert knob_model.available()
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert not knob_model.available()
    with pytest.raises(ImportError):
        next(suggestions(FIFO, [], 1, anything))
