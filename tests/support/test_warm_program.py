# SPDX-License-Identifier: MIT
"""A text that is run in a fork says and does what it says and does in a Python of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import warm_program

pytestmark = pytest.mark.slow

TEXTS = {
    "autotune": f"import sys; sys.path.insert(0, {str(warm_program.ROOT)!r}); from autotune import cli; cli.main()",
    "surroundings": "import os, sys; print(os.getcwd(), sorted(os.environ), sys.argv, os.listdir('/proc/self/fd'))",
    "an error": "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "signals": "import signal; print([signal.getsignal(number) for number in signal.valid_signals()])",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_it_ends_and_says_what_a_started_one_does(text: str, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "LANG": os.environ.get("LANG", "C"), "XDG_STATE_HOME": str(tmp_path)}
    arguments = ("cc", "--nonsense")
    argv = [sys.executable, "-c", text, *arguments]
    started = subprocess.run(argv, env=env, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    warm = warm_program.run(text, *arguments, env=env, cwd=tmp_path)
    assert (warm.returncode, warm.stdout, warm.stderr) == (started.returncode, started.stdout, started.stderr)


def test_nothing_of_one_is_in_the_next(tmp_path: Path) -> None:
    leave = "import autotune.cli; autotune.cli.left = 1"
    look = "import autotune.cli; print(hasattr(autotune.cli, 'left'))"
    assert warm_program.run(leave, env={}, cwd=tmp_path).returncode == 0
    assert warm_program.run(look, env={}, cwd=tmp_path).stdout == b"False\n"


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        warm_program.run("import time; time.sleep(60)", env={}, cwd=tmp_path, timeout_s=0.5)


def test_another_is_started_when_a_test_has_ended_the_one_that_forks(tmp_path: Path) -> None:
    text = "print('here')"
    assert warm_program.run(text, env={}, cwd=tmp_path).stdout == b"here\n"
    living = [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
    forking = [one for one in living if "tests.support.warm_program" in one.cmdline()]
    for one in forking:
        one.kill()
        one.wait()

    assert len(forking) == 1
    assert warm_program.run(text, env={}, cwd=tmp_path).stdout == b"here\n"
