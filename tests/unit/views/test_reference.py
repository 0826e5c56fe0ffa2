# SPDX-License-Identifier: MIT
"""The page about the schedulers."""

from __future__ import annotations

from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.views.reference import reference

CATALOG = Catalog.load()


def section(name: str) -> str:
    return reference(CATALOG).partition(f"\n## {name}\n")[2].partition("\n## ")[0]


def test_every_scheduler_has_a_row_and_a_section() -> None:
    page = reference(CATALOG)
    for one in CATALOG.schedulers:
        assert page.count(f"\n| [{one.name}](#{one.name}) |") == 1
        assert page.count(f"\n## {one.name}\n") == 1
        assert one.algorithm in section(one.name)


def test_every_knob_is_in_a_table_and_what_does_nothing_is_only_named() -> None:
    for one in CATALOG.schedulers:
        text = section(one.name)
        for knob in one.knobs:
            assert (f"\n| `{knob.name}`" in text) == (knob.status == "active")
            assert f"`{knob.name}`" in text


def test_profiles_rules_and_needs_are_reported() -> None:
    text = section("scx_lavd")
    assert "gaming (`performance=true,pinned_slice_us=500`)" in text
    assert "pinned_slice_us must be at most slice_max_us: it ends at once" in text
    assert "- Needs: Linux 6.14 or newer, not 6.16;" in text
    assert "Profiles that are its defaults: auto, gaming" in section("scx_beerland")
    assert "| `slice_us` (`-s`) |" in section("scx_nest")
    assert "\nNo knobs." in section("scx_rlfifo")


def test_a_bar_in_a_text_does_not_break_its_table() -> None:
    odd = CATALOG.get("at_fifo").model_dump() | {"description": "either | or"}
    page = reference(Catalog([Scheduler.model_validate(odd)]))
    assert r"either \| or" in page
