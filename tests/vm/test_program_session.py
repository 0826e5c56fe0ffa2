# SPDX-License-Identifier: MIT
"""A whole session with schedulers that are programs: two real ones, one of which is killed in mid-run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.vm, pytest.mark.slow, pytest.mark.built]

KILLS_COSMOS = "pkill -9 scx_cosmos; sleep 0.3; true"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.usefixtures("built_schedulers")
def test_they_are_raced_and_one_that_ends_by_itself_is_invalid_with_its_reason(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    argv = ["cc", "--machine", "vm", "--budget", "8m", "--runs", "2", "--json", str(report)]
    argv += ["--scheduler", "scx_bpfland:slice_us=20000", "--scheduler", "scx_cosmos"]
    done = subprocess.run(
        [sys.executable, "-m", "autotune", *argv, KILLS_COSMOS], cwd=ROOT, capture_output=True, text=True, timeout=700
    )
    assert done.returncode == 0, done.stderr
    rows = {row["candidate"]["scheduler"]: row for row in json.loads(report.read_text())["results"]}
    assert rows["scx_bpfland"]["runs"] >= 2
    assert rows["scx_bpfland"]["invalid_runs"] == 0
    assert rows["scx_cosmos"]["verdict"] == "invalid"
    assert rows["scx_cosmos"]["runs"] == 0
    reason = "left: unregistered from user space (it was ended by SIGKILL)"
    assert reason in rows["scx_cosmos"]["note"]
    assert reason in " ".join(done.stdout.split()), "the table says so too"


@pytest.mark.usefixtures("built_schedulers")
def test_what_a_program_has_not_is_refused_before_anything_starts() -> None:
    for candidate, said in (
        ("scx_bpfland:slice=1", "has no knob 'slice'. Did you mean 'slice_us'?"),
        ("scx_nest", "scx_nest is not installed"),
        ("scx_bpfland:slice_us=fast", "takes a whole number"),
    ):
        argv = [sys.executable, "-m", "autotune", "cc", "--machine", "vm", "--scheduler", candidate, "true"]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert done.stdout == ""
