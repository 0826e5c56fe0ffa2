# SPDX-License-Identifier: MIT
"""Ctrl-C while the program is still being loaded: one line, exit code 130, however often it is pressed."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, *_rest):
        if name == {module!r}:
            for _ in range({times}):
                os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["autotune", "schedulers"]
from autotune.__main__ import main
main()
"""


def start(module: str, times: int, **more: object) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", INTERRUPTED.format(module=module, times=times)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("module", ["autotune.cli", "typer", "autotune.commands.arguments", "autotune.commands.cc"])
@pytest.mark.parametrize("times", [1, 5])
def test_it_ends_with_one_line_and_130(module: str, times: int) -> None:
    done = start(module, times)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "autotune: session: interrupted.\n")


def test_a_start_with_interrupts_ignored_goes_on_ignoring_them() -> None:
    """A shell starts what it puts into the background so."""
    done = start("typer", 1, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    assert (done.returncode, done.stderr) == (0, "")
