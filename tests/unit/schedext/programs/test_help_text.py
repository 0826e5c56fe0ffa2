# SPDX-License-Identifier: MIT
"""Reading help texts: what clap writes, in both layouts, what C programs write, and what is no help at all."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.errors import AutotuneError
from autotune.schedext.programs.help_text import Option, parse
from tests.support import scx_programs

SHORT_LAYOUT = """\
Usage: scx_x [OPTIONS]

Options:
      --stats <STATS>
  -t, --toggle <NAME=0|1>        Turn something on or off; may be given again. What there is to
                                 turn is listed below
      --exit-dump-len <LEN>      Of the dump [default: 1048576]
      --mode <MODE>              [default: a] [possible values: a, b-c]
  -h, --help                     Print help

Toggles (--toggle NAME=0|1, repeatable):
  probe     looks at things      default 0
"""

C_HELP = """\
Plays a scheduler.

Usage: scx_c [-s SLICE_US] [-c CPU] [-f] [-v]

  -s SLICE_US   How long a task may run
  -c CPU        Where decisions are made,
                by default on the first
  -f            First in, first out
  -v            Say more
"""


def by_flag(text: str) -> dict[str, Option]:
    return {option.flag: option for option in parse(text)}


def test_the_long_layout_of_clap() -> None:
    found = by_flag((scx_programs.PROGRAMS / "scx_good").read_text())
    assert list(found) == ["--slice-us", "--mode", "--keep-local", "--verbose", "--version", "--help"]
    text = "How long a task may run, in microseconds"
    assert found["--slice-us"] == Option("--slice-us", "-s", True, "SLICE_US", "1000", text=text)
    assert (found["--mode"].default, found["--mode"].options) == ("fast", ("fast", "kind"))
    assert not found["--keep-local"].takes_value
    assert found["--verbose"].repeatable


def test_the_short_layout_of_clap() -> None:
    found = by_flag(SHORT_LAYOUT)
    assert list(found) == ["--stats", "--toggle", "--exit-dump-len", "--mode", "--help"]
    assert found["--stats"].takes_value
    assert found["--toggle"].value_name == "NAME=0|1"
    assert found["--toggle"].text.endswith("What there is to turn is listed below")
    assert found["--exit-dump-len"].default == "1048576"
    assert (found["--mode"].default, found["--mode"].options) == ("a", ("a", "b-c"))


def test_options_of_c_programs_have_short_names_only() -> None:
    found = by_flag(C_HELP)
    assert list(found) == ["-s", "-c", "-f", "-v"]
    assert found["-s"] == Option("-s", "-s", True, "SLICE_US", text="How long a task may run")
    assert found["-c"].text == "Where decisions are made, by default on the first"
    assert not found["-f"].takes_value


def test_a_value_may_be_optional() -> None:
    found = by_flag("Usage: x\n\nOptions:\n      --virt-llc[=<VIRT_LLC>]\n          As --virt-llc [low-high]\n")
    assert found["--virt-llc"].takes_value
    assert found["--virt-llc"].value_optional
    assert list(found) == ["--virt-llc"]


def test_options_named_in_prose_are_none() -> None:
    found = parse(
        "Before:\n  -x, --example\n\nUsage: x\n\nOptions:\n  -s, --slice <S>\n          not with\n          --other\n"
    )
    assert [option.flag for option in found] == ["--slice"]


def test_a_default_may_be_empty_or_have_several_values() -> None:
    text = (
        'Usage: x\n\n      --path <P>\n          [default: ""]\n\n      --slices <S>\n          [default: 500 2500]\n'
    )
    assert [option.default for option in parse(text)] == ["", "500 2500"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no line that begins with 'Usage:'"),
        ("hello, what would you like to print?", "no line that begins with 'Usage:'"),
        ("  -s, --slice <S>\n", "no line that begins with 'Usage:'"),
        ("Usage: x FILE\n\nPrints a file.\n", "no options"),
        ("\x00\xff" * 5000, "no line that begins with 'Usage:'"),
    ],
)
def test_what_is_no_help_is_reported(text: str, problem: str) -> None:
    with pytest.raises(AutotuneError, match=problem) as caught:
        parse(text)
    assert caught.value.hint


# --- laws ---

WORDS = st.text(string.ascii_letters + string.digits + ".,;()", min_size=1, max_size=9)
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,6}){0,3}", fullmatch=True)
VALUES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)


@st.composite
def written(draw: st.DrawFn) -> Option:
    takes_value = draw(st.booleans())
    return Option(
        flag="--" + draw(NAMES),
        short=draw(st.none() | st.sampled_from([f"-{letter}" for letter in string.ascii_letters])),
        takes_value=takes_value,
        value_name=draw(NAMES).upper().replace("-", "_") if takes_value else None,
        default=draw(st.none() | VALUES) if takes_value else None,
        options=tuple(draw(st.lists(VALUES, max_size=4, unique=True))) if takes_value else (),
        repeatable=draw(st.booleans()),
        text=" ".join(draw(st.lists(WORDS, max_size=40))),
        value_optional=draw(st.booleans()) if takes_value else False,
    )


@given(st.lists(written(), min_size=1, max_size=8, unique_by=lambda option: option.flag))
@pytest.mark.slow
def test_what_clap_would_write_is_read_back(options: list[Option]) -> None:
    assert parse(scx_programs.clap_help(options)) == options


@given(st.text(max_size=400), st.booleans())
def test_any_text_is_read_or_refused(text: str, usage: bool) -> None:
    try:
        options = parse(("Usage: x\n" if usage else "") + text)
    except AutotuneError:
        return
    assert len({option.flag for option in options}) == len(options) > 0
    assert all(option.flag.startswith("-") for option in options)
