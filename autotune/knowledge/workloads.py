# SPDX-License-Identifier: MIT
"""Identity and similarity of workloads."""

from __future__ import annotations

import hashlib
import json
import os

from autotune.records import Workload


def fingerprint(workload: Workload) -> str:
    """Return a digest of what makes two workloads the same for learning: command, directory, commands around
    each run, metric, and the values of its parameters; not the environment or limits."""
    parts = [*workload.argv, "\0", workload.cwd, workload.setup, workload.prepare, workload.metric_regex, workload.goal]
    concluded = [] if workload.conclude is None else [workload.conclude]
    swept = [[one.name, *one.values] for one in workload.parameters]
    text = json.dumps([*parts, workload.pristine, *concluded, *swept], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def program_of(workload: Workload) -> str:
    """Return the name of the program that runs: `make` of `/usr/bin/make -j8`, and of `make -j8 | tee log` for a shell.
    Empty when the command names none."""
    words = workload.command.split() if workload.shell else list(workload.argv)
    plain = [word for word in words if "=" not in word]  # leading VARIABLE=value
    return os.path.basename(plain[0])[:200] if plain else ""
