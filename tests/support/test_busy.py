# SPDX-License-Identifier: MIT
"""A failure on a machine that others keep busy says so; one on a quiet machine, or busy with tests alone, does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import busy
from tests.support.busy import Load, Reading

TESTS = Path(busy.__file__).parents[1]


@pytest.mark.parametrize(
    ("busy_s", "own_s", "foreign"),
    [(0.1, 0.0, False), (20.0, 20.0, False), (20.0, 19.0, False), (20.0, 5.0, True), (6.0, 0.1, True)],
)
def test_only_what_others_used_counts(
    busy_s: float, own_s: float, foreign: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})
    monkeypatch.setattr(os, "getloadavg", lambda: (6.1, 0.0, 0.0))
    load = busy.between(Reading(100.0, 7.0, 3.0, 1.0), Reading(110.0, 7.0 + busy_s, 3.0 + own_s, 7.3))
    assert load.is_foreign is foreign
    assert load.text().startswith("load average 6.1 on 2 CPUs, ")
    assert load.text().endswith(" used by others than this test run, CPU pressure 63 %")


def test_of_a_moment_only_the_load_average_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (6.1, 0.0, 0.0))
    load = busy.between(Reading(100.0, 7.0, 3.0, 1.0), Reading(100.01, 9.0, 3.0, 7.3))
    assert (load.others_cpus, load.pressure, load.text()) == (None, None, f"load average 6.1 on {load.cpus} CPUs")


def test_what_the_run_s_own_processes_use_is_its_own() -> None:
    before = busy.read()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"], check=True)
    after = busy.read()
    assert after.own_s - before.own_s >= 0.5
    assert after.busy_s >= before.busy_s


@pytest.mark.parametrize("others_cpus", [1.7, 0.0])
@pytest.mark.slow
def test_a_failure_names_the_load_that_others_made(others_cpus: float, tmp_path: Path) -> None:
    """A real run of pytest with the real hooks, on a machine that is said to be so busy."""
    (tmp_path / "test_it.py").write_text("def test_good(): pass\ndef test_bad(): assert 1 == 2\n")
    (tmp_path / "plugin.py").write_text(
        "from tests.support import busy\n"
        f"busy.between = lambda *_: {Load(6.1, 2, others_cpus, 0.63)!r}\nfrom conftest import *\n".replace(
            "Load(", "busy.Load("
        )
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "plugin", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    env = {"PYTHONPATH": f"{tmp_path}:{TESTS}:{TESTS.parent}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*argv, str(tmp_path)], capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    named = "load average 6.1 on 2 CPUs, 1.7 of them used by others than this test run, CPU pressure 63 % while this"
    assert (named in done.stdout) is (others_cpus > 1)
    assert ("BUSY: 1 test failed while others used this machine" in done.stdout) is (others_cpus > 1)
