# SPDX-License-Identifier: MIT
"""The grid of a scheduler's settings: which knobs, which values, and that it leads back and forth."""

from __future__ import annotations

import itertools
import random

import pytest

from autotune.planner import knob_space
from autotune.planner.knob_space import PROFILE, Dimension, Space
from autotune.records import KnobValue
from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.catalogue.knobs import Knob, Range
from tests.support.generated_schedulers import an_entry
from tests.support.sessions import machine

CATALOG = Catalog.load()
ALL = [one.name for one in CATALOG.schedulers]


def space(name: str, *traits: str) -> Space:
    return knob_space.of(CATALOG.get(name), machine(traits=traits))


def dimension(space: Space, name: str) -> Dimension:
    return next(one for one in space.dimensions if one.name == name)


def numbers(name: str, knob: str) -> list[float]:
    return [float(value) for value in dimension(space(name), knob).values]


def with_knob(**fields: object) -> Scheduler:
    """at_fifo with one knob more."""
    knob = Knob.model_validate({"name": "extra", "type": "integer", "description": "x", **fields})
    fifo = CATALOG.get("at_fifo")
    return fifo.model_copy(update={"knobs": (*fifo.knobs, knob)})


@pytest.mark.parametrize("name", ALL)
def test_every_value_is_one_that_the_knob_takes_and_the_default_is_among_them(name: str) -> None:
    scheduler = CATALOG.get(name)
    for one in space(name, "smt", "numa").dimensions:
        if one.name != PROFILE:
            knob = scheduler.knob(one.name)
            for value in one.values:
                knob.check(value)
            assert knob.default in one.values
            assert len(set(one.values)) == len(one.values) > 1
            assert not one.ordered or list(one.values) == sorted(one.values)


@pytest.mark.parametrize("name", ALL)
def test_settings_lead_to_their_point_and_back(name: str) -> None:
    grid, rng = space(name), random.Random(name)
    for _ in range(20):
        point = {one.name: rng.randrange(len(one.values)) for one in grid.dimensions}
        settings = grid.settings(point)
        assert grid.point(settings) is not None
        assert grid.settings(grid.point(settings) or {}) == settings


@pytest.mark.parametrize("name", ALL)
def test_defaults_and_profiles_are_points(name: str) -> None:
    scheduler, grid = CATALOG.get(name), space(name)
    assert grid.settings(grid.point({}) or {}) == {}
    for _, settings in knob_space.profiles(scheduler):
        assert grid.point(settings) is not None


@pytest.mark.parametrize(
    ("name", "knob"), [("at_fifo", "slice_us"), ("at_batch", "age_limit_ms"), ("scx_lavd", "slice_max_us")]
)
def test_a_number_that_spans_decades_rises_by_factors(name: str, knob: str) -> None:
    values = numbers(name, knob)
    ratios = [high / low for low, high in itertools.pairwise(values)]
    assert values[-1] / values[0] > 100
    assert max(ratios) <= 2.5


def test_a_number_of_a_narrow_range_rises_by_equal_steps() -> None:
    values = numbers("scx_lavd", "mig_delta_pct")
    assert (values[0], values[-1]) == (0.0, 100.0)
    assert {high - low for low, high in itertools.pairwise(values)} == {5.0}
    assert numbers("scx_lavd", "preempt_shift") == list(range(11))


def test_zero_is_tried_where_the_range_says_so_and_not_where_it_is_merely_accepted() -> None:
    assert 0 in numbers("at_vtime", "lag_limit_us")
    assert min(numbers("scx_rusty", "slice_us_overutil")) > 0


def test_what_changes_nothing_here_or_only_with_others_is_no_dimension() -> None:
    names = {one.name for one in space("scx_lavd").dimensions}
    assert "partial" not in names
    assert "xmig_min_gain_us" not in names
    assert "xmig_min_gain_us" in {one.name for one in space("scx_lavd", "core_types").dimensions}
    assert "cpu_bw_max_cgroups" not in names
    assert "dumb_queues" not in {one.name for one in space("scx_p2dq").dimensions}
    assert "central_cpu" not in {one.name for one in space("scx_central").dimensions}
    assert all(type(one.values[0]) is not bool for one in space("scx_lavd").dimensions)
    assert "long_first" in {one.name for one in space("at_batch").dimensions}


def test_choices_are_not_ordered() -> None:
    ordering = dimension(space("scx_forge"), "ordering")
    assert not ordering.ordered
    assert set(ordering.values) == {"vruntime", "deadline", "fifo"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"default": 4, "range": {"min": 1, "max": 8}}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"default": 100, "range": {"min": 90, "max": 1_000_000, "how": "proven"}}, [90, 100, 150]),
        ({"default": 0}, None),
        ({"default": -1, "range": {"min": -1}}, None),
        ({"default": 0, "unit": "ms"}, [0, 1, 2, 3, 5]),
        ({"type": "float", "default": 0.5, "range": {"min": 0.0, "max": 1.0}}, [0.0, 0.05, 0.1]),
        ({"default": 7, "range": {"min": 7, "max": 7}}, None),
        ({"default_rule": "found by itself"}, None),
        ({"default": 5, "status": "deprecated"}, None),
        ({"type": "string", "default": "auto", "keywords": ("auto", "all")}, None),
    ],
)
def test_the_values_of_a_knob(fields: dict[str, object], expected: list[KnobValue] | None) -> None:
    grid = knob_space.of(with_knob(**fields), machine())
    found = next((one.values for one in grid.dimensions if one.name == "extra"), None)
    assert (None if found is None else list(found)[: len(expected or ())]) == expected


@pytest.mark.parametrize("high", [1, 10, 2**31 - 1, 2**64 - 1])
def test_no_range_is_too_large(high: int) -> None:
    grid = knob_space.of(with_knob(default=1, range={"min": 0, "max": high}), machine())
    assert 2 <= len(dimension(grid, "extra").values) <= 30


def test_a_value_between_two_is_the_nearest_by_ratio() -> None:
    slice_us = dimension(space("at_fifo"), "slice_us")
    nearest = [slice_us.nearest(value) for value in (690, 1, 10**9)]
    assert [slice_us.values[index] for index in nearest if index is not None] == [700, 500, 1_000_000]


def test_neighbours_differ_in_one_step() -> None:
    grid = space("at_batch")
    start = grid.point({}) or {}
    found = list(grid.neighbours(start))
    assert len(found) == 5
    assert all(sum(point[name] != start[name] for name in start) == 1 for point in found)


def test_rules_between_knobs_are_known() -> None:
    grid = space("scx_lavd")
    assert not grid.allows({"slice_min_us": 7000})
    assert grid.allows({"slice_min_us": 7000, "slice_max_us": 10000, "pinned_slice_us": 7000})


@pytest.mark.parametrize(("low", "high", "default"), [(1, 9000, 5000), (2500, 10_000, 5000), (0, 1, 1), (7, 7, 7)])
def test_a_generated_scheduler_is_searched_within_what_was_proven(low: int, high: int, default: int) -> None:
    entry = an_entry("mine")
    proven = Range(min=low, max=high, how="proven")
    knob = entry.knobs[0].model_copy(update={"range": proven, "default": default})
    found = knob_space.of(entry.model_copy(update={"knobs": (knob,)}), machine())
    values = [value for one in found.dimensions for value in one.values]
    assert all(type(value) is int and low <= value <= high for value in values)
    assert (default in values and high in values) or (low == high and not values)
