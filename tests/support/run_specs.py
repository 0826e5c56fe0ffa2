# SPDX-License-Identifier: MIT
"""What is to be run, and waiting for what becomes of it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autotune.measure import client as measure_client
from autotune.measure.client import shell_argv
from autotune.records import RunSpec

PATH = "/usr/local/bin:/usr/bin:/bin"
NOBODY = 65534
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/bin")
SCHED_EXT = Path("/sys/kernel/sched_ext").exists()

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as somebody else")


def spec(*argv: str, cwd: str | Path = "/", **fields: Any) -> RunSpec:
    return RunSpec(argv, str(cwd), fields.pop("env", {"PATH": PATH}), **fields)


def shell(command: str, **fields: Any) -> RunSpec:
    return spec(*shell_argv(command), **fields)


def python(code: str, **fields: Any) -> RunSpec:
    return spec(measure_client.helper_python(), "-S", "-E", "-c", code, **fields)


def wait_until(what: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.01)
    return what()
