# SPDX-License-Identifier: MIT
"""Lists of kernels, requirements and schedulers."""

from __future__ import annotations

import itertools
import re

import pytest

from autotune.schedext.catalogue.catalog import Catalog, Scheduler
from autotune.views import listing
from autotune.views.checks import Check


def test_without_a_fetched_kernel_the_list_says_how_to_get_one() -> None:
    assert list(listing.kernels([], None)) == ["No kernel was fetched yet; 'autotune vm setup' fetches one."]


CHECKS = [
    Check("clang", True, "19 (/usr/bin/clang-19)", "compiling BPF schedulers", "", ("host", "vm")),
    Check("qemu", False, "not found", "running the micro-VM", "apt-get install qemu-system-x86", ("vm",)),
    Check("KVM", False, "cannot \x1b[2J be opened", "a fast micro-VM", "adduser USER kvm", ()),
]


def test_every_requirement_says_what_it_is_for_and_what_fixes_it() -> None:
    lines = list(listing.doctor(CHECKS, {"host": True, "vm": False}, width=80, coloured=False))
    assert lines == [
        "ok       clang: 19 (/usr/bin/clang-19)",
        "         compiling BPF schedulers (needed)",
        "missing  qemu: not found",
        "         running the micro-VM (needed to run in a micro-VM)",
        "         fix: apt-get install qemu-system-x86",
        "note     KVM: cannot [2J be opened",
        "         a fast micro-VM (optional)",
        "         fix: adduser USER kvm",
        "",
        "Can run sched_ext schedulers on this host: yes",
        "Can run sched_ext schedulers in a micro-VM: no",
    ]


def test_colour_adds_nothing_but_colour_and_long_lines_wrap() -> None:
    shown = "\n".join(listing.doctor(CHECKS, {"host": True}, width=40, coloured=True))
    assert "\x1b[32mok\x1b[0m" in shown
    bare = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert bare == "\n".join(listing.doctor(CHECKS, {"host": True}, width=40, coloured=False))
    assert max(len(line) for line in bare.splitlines() if "fix:" not in line) <= 47


KNOWN = Catalog.load()
ROWS = [
    listing.ListingRow(KNOWN.get("at_fifo"), "built in"),
    listing.ListingRow(KNOWN.get("scx_rusty"), "store", "1.1.4"),
    listing.ListingRow(KNOWN.get("scx_lavd"), get="autotune schedulers install scx_lavd"),
    listing.ListingRow(KNOWN.get("scx_flash"), get="autotune schedulers install scx_flash"),
    listing.ListingRow(KNOWN.get("scx_nest"), get="install your distribution's scx-scheds"),
]


@pytest.mark.parametrize("width", [80, 120, 200])
def test_each_scheduler_of_the_catalogue_is_in_the_table_and_nothing_is_wider_than_the_terminal(width: int) -> None:
    lines = list(listing.schedulers([listing.ListingRow(one) for one in KNOWN.schedulers], width=width))
    assert max(len(line) for line in lines) <= width
    words = " ".join(" ".join(lines).split())
    for one in KNOWN.schedulers:
        assert f" {one.name} " in words
        assert one.description in words or width == 120  # where it is in a column of its own, lines stand between


def test_the_table_says_what_is_here_in_which_version_and_who_vouches_for_it() -> None:
    header, *rows = list(listing.schedulers(ROWS, width=140))[:6]
    assert header.split() == ["NAME", "KIND", "READY", "VERSION", "FOUND", "WHAT"]
    starts = [header.index(word) for word in ("NAME", "KIND", "READY", "VERSION", "FOUND", "WHAT")]
    cells = [[row[start:end].strip() for start, end in itertools.pairwise(starts)] for row in rows]
    assert cells == [
        ["at_fifo", "ours", "no", "-", "built in"],
        ["scx_rusty", "program", "yes", "1.1.4", "store"],
        ["scx_lavd", "program", "yes", "-", "-"],
        ["scx_flash", "program", "yes", "-", "-"],
        ["scx_nest", "program", "-", "-", "-"],
    ]


def test_below_the_table_each_way_to_get_what_is_absent_stands_once_with_those_it_is_for() -> None:
    text = "\n".join(listing.schedulers(ROWS, width=80))
    assert "Not here: scx_lavd, scx_flash.\n  get one: autotune schedulers install NAME\n" in text
    assert "Not here: scx_nest.\n  get one: install your distribution's scx-scheds\n" in text


@pytest.mark.parametrize("one", KNOWN.schedulers, ids=lambda one: one.name)
def test_one_scheduler_is_explained_in_full(one: Scheduler) -> None:
    shown = "\n".join(listing.scheduler(one, width=80))
    words = " ".join(shown.split())
    assert max(len(line) for line in shown.splitlines()[:-1]) <= 80
    for text in (one.algorithm, one.characteristics, one.performance_profile, *one.limitations):
        assert " ".join(text.split()) in words
    for knob in one.knobs:
        assert " ".join(knob.description.split()) in words
        if knob.status == "active":
            assert f"  {knob.name}\n" in shown
            assert f"Takes {knob.allowed()}; default:" in words
    for name, settings in one.modes.items():
        assert f"\n  {name}: " in shown or not settings
        assert name in words
    last = shown.splitlines()[-1]
    KNOWN.parse_candidate(last.removeprefix("Try it: autotune cc --scheduler ").removesuffix(" 'COMMAND'"))


def test_what_a_program_needs_changes_and_refuses_is_said_and_where_it_is() -> None:
    shown = " ".join(" ".join(listing.scheduler(KNOWN.get("scx_rusty"), width=100, row=ROWS[1])).split())
    for words in (
        "Here: store, version 1.1.4",
        "Made for production: yes",
        "several last-level caches (of no use without)",
        "which stays after the end",
        "Changes something only with several NUMA nodes.",
        "Out of range: the program uses the nearest value in the range.",
        "Accepted, but without effect: cache_level",
    ):
        assert words in shown
    lavd = " ".join(" ".join(listing.scheduler(KNOWN.get("scx_lavd"), width=100, row=ROWS[2])).split())
    assert "Here: no; get it: autotune schedulers install scx_lavd" in lavd
    assert "pinned_slice_us must be at most slice_max_us: it ends at once" in lavd
