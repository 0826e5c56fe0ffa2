# SPDX-License-Identifier: MIT
"""A forked program says and does what a started one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import forked_program

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "arguments",
    [("--version",), ("cc", "--nonsense"), ("apply", "nothere"), ("stop",)],
    ids=" ".join,
)
def test_it_ends_and_says_what_a_started_one_does(arguments: tuple[str, ...], tmp_path: Path) -> None:
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "COLUMNS": "100"}
    argv = [sys.executable, "-m", "autotune", *arguments]
    started = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    forked = forked_program.run(*arguments, env=env, text=True)
    assert (forked.returncode, forked.stdout, forked.stderr) == (started.returncode, started.stdout, started.stderr)
    assert started.stdout + started.stderr
