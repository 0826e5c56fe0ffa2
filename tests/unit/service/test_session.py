# SPDX-License-Identifier: MIT
"""The process of a job: it enters the directory as its user, becomes `autotune cc`, and ends with the service."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotune.service import running
from tests.support.waiting import is_gone, wait_until

pytestmark = pytest.mark.slow


def started(cwd: Path, *words: str, parent: int | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", running.PROGRAM, str(parent or os.getpid()), str(cwd), *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/", timeout=60)


def test_it_is_cc_with_these_words_in_this_directory(tmp_path: Path) -> None:
    (tmp_path / "autotune.toml").write_text("no_such_setting = 1\n")
    (tmp_path / "autotune.py").write_text("raise SystemExit('the directory decided what runs')\n")
    done = started(tmp_path, "--planner", "offline", "--", "true")
    assert done.returncode == 2
    assert "no_such_setting in ./autotune.toml" in done.stderr.replace("autotune: usage: ", "")


def test_a_directory_that_cannot_be_entered_is_said(tmp_path: Path) -> None:
    done = started(tmp_path / "gone", "true")
    assert done.returncode == 1
    assert "gone cannot be entered: No such file or directory" in done.stderr


def test_one_whose_service_is_gone_already_does_not_begin(tmp_path: Path) -> None:
    assert "the daemon is gone" in started(tmp_path, "true", parent=1).stderr


SERVICE = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-I", sys.argv[1], str(os.getpid()), sys.argv[2], "--", "true"])
print(child.pid, flush=True)
child.wait()
"""


def test_it_ends_when_the_service_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "session.py"  # one that takes long, whatever it does then
    program.write_text(Path(running.PROGRAM).read_text().replace("    runpy.", "    signal.pause()\n    runpy."))
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(program), str(tmp_path)], stdout=subprocess.PIPE)
    assert service.stdout is not None
    pid = int(service.stdout.readline())
    time.sleep(1.0)
    assert not is_gone(pid)
    service.kill()
    service.wait()
    wait_until(lambda: is_gone(pid))
