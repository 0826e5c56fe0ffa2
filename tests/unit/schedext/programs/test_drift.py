# SPDX-License-Identifier: MIT
"""The catalogue against help texts: true ones say the same; doctored ones are caught, each change in a sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.schedext.programs.drift import drift
from autotune.schedext.programs.help_text import Option, parse
from tests.support import scx_programs

PROGRAMS = [one for one in Catalog.load().schedulers if one.program is not None and one.program.language == "rust"]
LAVD = Catalog.load().get("scx_lavd")


def sentences(scheduler: Scheduler, text: str) -> list[str]:
    return [difference.sentence for difference in drift(scheduler, parse(text))]


def doctored(scheduler: Scheduler, which: str, **changes: Any) -> str:
    """The help of a program that is what the catalogue says, but for one option."""
    wanted = scx_programs.options_of_catalogue(scheduler)
    assert which in {option.flag for option in wanted}
    return scx_programs.clap_help(replace(option, **changes) if option.flag == which else option for option in wanted)


def _given(argument: str) -> Option:
    """An option that the program is always given, as its help would show it."""
    flag, equals, _ = argument.partition("=")
    return Option(flag, takes_value=bool(equals), value_name="X" if equals else None)


@pytest.mark.parametrize("scheduler", [one for one in PROGRAMS if one.knobs], ids=lambda one: one.name)
def test_a_help_that_says_what_the_catalogue_says_differs_in_nothing(scheduler: Scheduler) -> None:
    assert scheduler.program is not None
    always = [_given(argument) for argument in scheduler.program.arguments]
    assert sentences(scheduler, scx_programs.clap_help([*always, *scx_programs.options_of_catalogue(scheduler)])) == []


def test_an_option_that_went_is_caught() -> None:
    text = scx_programs.clap_help(
        one for one in scx_programs.options_of_catalogue(LAVD) if one.flag != "--slice-max-us"
    )
    assert sentences(LAVD, text) == ["--slice-max-us (knob slice_max_us) is not an option of the program"]


def test_an_option_that_came_is_caught_with_what_it_says() -> None:
    new = Option("--warp-us", None, True, "WARP_US", "10", text="How far to jump. Then more.")
    text = scx_programs.clap_help([*scx_programs.options_of_catalogue(LAVD), new])
    assert sentences(LAVD, text) == ["--warp-us is not in the catalogue: How far to jump"]


def test_a_renamed_option_is_caught_on_both_sides() -> None:
    found = sentences(LAVD, doctored(LAVD, "--slice-max-us", flag="--slice-most-us"))
    assert [sentence.split()[0] for sentence in found] == ["--slice-most-us", "--slice-max-us"]


def test_another_default_is_caught() -> None:
    text = doctored(LAVD, "--slice-max-us", default="7000")
    assert sentences(LAVD, text) == ["--slice-max-us is 7000 by default; the catalogue says 5000"]


def test_a_switch_that_now_takes_a_value_is_caught() -> None:
    text = doctored(LAVD, "--performance", takes_value=True, value_name="LEVEL")
    assert sentences(LAVD, text) == ["--performance takes a value; the catalogue says that it is a switch"]


def test_other_values_are_caught() -> None:
    good = scx_programs.entry()
    text = doctored(good, "--mode", options=("fast", "kind", "wild"))
    assert sentences(good, text) == ["--mode takes fast, kind, wild; the catalogue says fast, kind"]


def test_the_same_number_written_otherwise_is_no_difference() -> None:
    assert sentences(LAVD, doctored(LAVD, "--slice-max-us", default="05000")) == []


def test_several_values_are_compared_one_by_one() -> None:
    p2dq = Catalog.load().get("scx_p2dq")
    assert sentences(p2dq, doctored(p2dq, "--dsq-time-slices", default="500 2500 5000")) == []
    assert len(sentences(p2dq, doctored(p2dq, "--dsq-time-slices", default="500 2500"))) == 1


def test_options_that_are_no_knobs_and_hidden_ones_are_left_alone() -> None:
    quiet = [Option(flag) for flag in ("--verbose", "--help", "--version", "--kconfig")]
    scheduler = scx_programs.entry(knobs=scx_programs.GOOD_KNOBS, hidden=("--keep-local",))
    text = scx_programs.clap_help([*scx_programs.options_of_catalogue(scheduler)[:2], *quiet])
    assert sentences(scheduler, text) == []


def test_a_missing_argument_that_is_always_given_is_caught() -> None:
    scheduler = scx_programs.entry(arguments=("--no-web",))
    text = scx_programs.clap_help(scx_programs.options_of_catalogue(scheduler))
    assert sentences(scheduler, text) == ["--no-web, which it is always given, is not an option of the program"]
