# SPDX-License-Identifier: MIT
"""`perf stat` as a tier of observation: where it is there, what it prints, and why it is absent."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from autotune.observe import perf
from autotune.observe.perf import CpuCounters
from autotune.records import Output
from tests.support import sessions

COUNTED = """gcc: a warning; of the command
4000000000;;cycles:u;2000000000;100.00;1.950;GHz
6000000000;;instructions:u;2000000000;100.00;1.50;insn per cycle
1000000;;cache-references:u;2000000000;83.00;;
250000;;cache-misses:u;2000000000;83.00;25.00;of all cache refs
<not counted>;;branches:u;0;0.00;;
<not supported>;;branch-misses:u;0;100.00;;
"""


def stderr(text: str) -> Output:
    return Output(text, "", len(text), 0)


def test_what_perf_counted_is_read_and_what_it_did_not_is_unknown() -> None:
    found = perf.counted(stderr(COUNTED))

    assert found == CpuCounters(4e9, 6e9, 1e6, 0.25e6)
    assert (found.instructions_a_cycle, found.cache_miss_share, found.branch_miss_share) == (1.5, 0.25, None)


def test_the_counters_of_both_kinds_of_core_are_added() -> None:
    text = (
        "3;;cpu_core/cycles/;9;100.00;;\n4;;cpu_atom/cycles/u;9;100.00;;\n<not counted>;;cpu_atom/branches/;0;0.00;;\n"
    )

    assert perf.counted(stderr(text)) == CpuCounters(7.0)


def test_lines_of_the_command_that_look_like_perfs_count_for_nothing() -> None:
    assert perf.counted(stderr("1;;cycles:u;1;100.00;;\n2;;cycles:u;1;100.00;;\n" + COUNTED)) == perf.counted(
        stderr(COUNTED)
    )


def test_of_long_output_the_tail_counts() -> None:
    assert perf.counted(Output("1;;cycles;1;100.00;;", COUNTED, 10**6, 10**6 - 500)) == perf.counted(stderr(COUNTED))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<not supported>;;cycles;0;100.00;;\n<not supported>;;instructions;0;100.00;;\n", perf.NO_PMU),
        ("Error: No permission to enable cycles event.\n", "perf stat counted nothing"),
        ("", "perf stat counted nothing"),
        ("0;;cycles;0;100.00;;\n", "perf stat counted nothing"),
    ],
)
def test_where_no_cycle_was_counted_the_reason_is_said(text: str, reason: str) -> None:
    assert perf.counted(stderr(text)) == reason


@pytest.mark.parametrize(
    ("device", "program", "reason"),
    [("cpu", True, ""), ("cpu_core", True, ""), ("cpu", False, perf.MISSING), ("software", True, perf.NO_PMU)],
)
def test_a_host_needs_a_pmu_and_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, program: bool, reason: str
) -> None:
    (tmp_path / "bin").mkdir()
    if program:
        (tmp_path / "bin" / "perf").write_text("#!/bin/sh\n")
        (tmp_path / "bin" / "perf").chmod(0o755)
    (tmp_path / "devices" / device).mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert perf.why_absent(sessions.machine(kind="host", acceleration="none"), tmp_path / "devices") == reason


def test_an_emulated_cpu_counts_nothing_and_a_host_without_sysfs_shows_nothing(tmp_path: Path) -> None:
    assert "emulated" in perf.why_absent(sessions.machine(kind="vm", acceleration="tcg"), tmp_path)
    assert perf.why_absent(sessions.machine(kind="host", acceleration="none"), tmp_path / "none") == perf.NO_PMU


def test_a_perf_of_the_directory_is_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "perf").write_text("#!/bin/sh\n")
    (tmp_path / "perf").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", ".")
    (tmp_path / "devices" / "cpu").mkdir(parents=True)

    assert perf.why_absent(sessions.machine(kind="host", acceleration="none"), tmp_path / "devices") == perf.MISSING
    assert perf.counting(("make",))[0] == "/usr/bin/perf"


def test_a_number_that_no_cpu_counts_to_is_none_of_perfs() -> None:
    assert perf.counted(stderr(f"{'9' * 400};;cpu_x/cycles/;1;100.00;;\n" + COUNTED)) == perf.counted(stderr(COUNTED))


@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed here")
def test_the_real_perf_runs_the_command_and_says_what_it_could_count() -> None:
    """The command sleeps: perf forgets the status of one that ends before perf waits for it."""
    argv = perf.counting(("sh", "-c", "echo out; echo problem >&2; sleep 0.3; exit 3"))

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (3, "out\n")
    assert done.stderr.startswith("problem\n")
    found = perf.counted(stderr(done.stderr))
    assert found == perf.NO_PMU or (isinstance(found, CpuCounters) and found.cycles > 0)
