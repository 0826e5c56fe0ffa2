# SPDX-License-Identifier: MIT
"""A winner as a configuration of other tools: what those tools' own rules make of the text is the winner again."""

from __future__ import annotations

import configparser
import importlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.errors import UsageError
from autotune.report import export
from autotune.report.export import Winner

tomllib: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

BPFLAND = Winner(
    "scx_bpfland:slice_us=10000", "Won for 'make'.", ("/opt/scx_bpfland", "--slice-us=10000"), "scx_bpfland"
)
OURS = Winner(
    "at_fifo:slice_us=5000",
    "Won for 'make'.",
    ("/opt/bin/autotune", "apply", "at_fifo:slice_us=5000"),
    None,
    environment={"XDG_CACHE_HOME": "/home/me too/.cache"},
)
WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5)


def config(text: str) -> configparser.ConfigParser:
    """As units and profiles are read: no interpolation, comments on lines of their own."""
    parser = configparser.ConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


# --- scx_loader -----------------------------------------------------------------------------------------


def test_the_loader_starts_the_program_with_its_options() -> None:
    written = tomllib.loads(export.scx_loader(BPFLAND))
    assert written == {
        "default_sched": "scx_bpfland",
        "default_mode": "Auto",
        "scheds": {"scx_bpfland": {"auto_mode": ["--slice-us=10000"]}},
    }


@given(WORDS)
def test_any_option_survives_toml(words: list[str]) -> None:
    written = tomllib.loads(export.scx_loader(replace(BPFLAND, argv=("scx_bpfland", *words))))
    assert written["scheds"]["scx_bpfland"]["auto_mode"] == words


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_gets_out_of_a_comment(text: str) -> None:
    written = tomllib.loads(export.scx_loader(replace(BPFLAND, key=text, why=text)))
    assert set(written) == {"default_sched", "default_mode", "scheds"}
    assert config(export.tuned(replace(BPFLAND, why=text))).sections() == ["main", "autotune_scheduler"]


@pytest.mark.parametrize("winner", [OURS, replace(BPFLAND, program="scx_layered")])
def test_what_the_loader_cannot_start_is_refused_with_another_way(winner: Winner) -> None:
    with pytest.raises(UsageError) as refused:
        export.text("scx-loader", winner)
    assert "autotune export systemd" in refused.value.hint


# --- systemd --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (("/bin/a", "-k", "--x=1,2"), "/bin/a -k --x=1,2"),
        (("/bin/a", "two words", ""), '/bin/a "two words" ""'),
        (("/bin/a", "100%", "%n"), "/bin/a 100%% %%n"),
        (("/bin/a", 'say "x"', "back\\slash"), '/bin/a "say \\"x\\"" "back\\\\slash"'),
        (("/bin/a", ";", "it's"), '/bin/a ";" "it\'s"'),
        (("/bin/a", "line\nline"), '/bin/a "line\\x0aline"'),
        (("/bin/a", "$HOME"), ":/bin/a $HOME"),
        (("/a b/c",), '"/a b/c"'),
    ],
)
def test_words_are_written_as_systemd_takes_them(argv: tuple[str, ...], line: str) -> None:
    assert export.command_line(argv) == line


def test_a_program_without_its_full_path_is_refused() -> None:
    with pytest.raises(UsageError, match="absolute path"):
        export.systemd(replace(BPFLAND, argv=("scx_bpfland",)))


def test_a_unit_of_a_program_ends_it_as_scx_programs_end() -> None:
    unit = config(export.systemd(BPFLAND))
    assert unit["Service"]["ExecStart"] == "/opt/scx_bpfland --slice-us=10000"
    assert unit["Service"]["KillSignal"] == "SIGINT"
    assert unit["Unit"]["Conflicts"].split() == ["scx.service", "scx_loader.service"]
    assert unit["Service"]["Restart"] == "on-failure"


def test_a_unit_of_ours_runs_autotune_and_says_where_it_finds_its_things() -> None:
    unit = config(export.systemd(OURS))
    assert unit["Service"]["ExecStart"] == "/opt/bin/autotune apply at_fifo:slice_us=5000"
    assert unit["Service"]["Environment"] == '"XDG_CACHE_HOME=/home/me too/.cache"'
    assert unit["Service"]["KillMode"] == "mixed"


def test_one_that_exits_with_zero_when_ejected_is_not_promised_a_restart() -> None:
    assert "not started again" in export.systemd(replace(BPFLAND, exits_zero_when_ejected=True))
    assert "not started again" not in export.systemd(BPFLAND)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    place = tmp_path / "odd $HOME 100%"
    place.mkdir()
    program = place / "scx_bpfland"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    odd = (str(program), "a b", 'q"q', "back\\slash", "${HOME}", "%n", ";", "", "tab\there")
    for winner in (replace(BPFLAND, argv=odd), replace(OURS, argv=(str(program), "apply", "at_fifo"))):
        unit = tmp_path / export.UNIT
        unit.write_text(export.systemd(winner))
        done = subprocess.run(
            ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
        )
        complaints = [line for line in done.stderr.splitlines() if export.UNIT in line]
        assert (done.returncode, complaints) == (0, []), done.stderr


# --- TuneD ----------------------------------------------------------------------------------------------


def test_a_profile_starts_the_unit() -> None:
    profile = config(export.tuned(BPFLAND))
    assert dict(profile["autotune_scheduler"]) == {"type": "service", "service.autotune-scheduler": "start"}
    assert profile["main"]["summary"] == "CPU scheduler scx_bpfland"


@pytest.mark.parametrize("kind", export.KINDS)
def test_every_text_says_where_it_goes_and_what_makes_it_active(kind: export.Kind) -> None:
    head = [line for line in export.text(kind, BPFLAND).splitlines() if line.startswith("#")]
    assert any("Put it in /etc/" in line for line in head)
    assert any("Make it active: systemctl" in line for line in head)
    assert "scx_bpfland:slice_us=10000" in head[0]
