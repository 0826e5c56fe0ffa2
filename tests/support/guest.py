# SPDX-License-Identifier: MIT
"""Commands inside a micro-VM, with the same Python, packages and caches as here, and a micro-VM of one's own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from autotune import resources
from autotune.errors import RunnerLost
from autotune.machine.base import Place
from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.microvm import MicroVM, VmOptions, boot
from autotune.machine.vm.resilient import ResilientVM
from autotune.records import Identity, Run, RunSpec
from autotune.schedext.build import build

REPOSITORY = Path(__file__).resolve().parents[2]
INSIDE = Path(__file__).parents[1] / "vm" / "inside"
MEMORY_BYTES = 2 << 30
LOSSES_BORNE = 3
"""Emulated kernels trip over their own patching now and then (`machine/vm/resilient.py`); that is not what is
tested."""


def own_vm(kernel: Kernel, cwd: Path, *, pristine: bool = False, keep: Path | None = None, uid: int = 0) -> MicroVM:
    place = Place(str(cwd), pristine, Identity(uid, uid, (uid,)))
    return boot(kernel, place, VmOptions(2, MEMORY_BYTES, keep), "a test")


def built_object(name: str, kernel: Kernel) -> str:
    """The path of one of our own schedulers, built."""
    return str(build(resources.bpf_source_dir() / f"{name}.bpf.c", headers=kernel.headers).object_path)


def guest_env(**extra: str) -> dict[str, str]:
    """The environment of a command inside: the same Python, packages and caches as here."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "XDG_CACHE_HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color", **extra}


def guest_run(vm: ResilientVM, *argv: str, timeout_s: float = 120.0, **env: str) -> Run:
    """Run a command inside and bring back how it went; its output is kept in full up to 1 MiB."""
    spec = RunSpec(tuple(argv), str(REPOSITORY), guest_env(**env), timeout_s=timeout_s, keep_bytes=1 << 20)
    for _ in range(LOSSES_BORNE):
        try:
            return vm.run(spec)
        except RunnerLost as error:
            print(f"repeated: {error}")
    return vm.run(spec)


def guest_json(vm: ResilientVM, script: str, *args: str, timeout_s: float = 180.0, **env: str) -> Any:
    """Run one of the scripts in `inside/` and return what it printed as JSON on its last line."""
    run = guest_run(vm, sys.executable, str(INSIDE / script), *args, timeout_s=timeout_s, **env)
    assert run.exit_code == 0, f"{script}: {run.exit_code}\n{run.stdout.head}{run.stdout.tail}\n{run.stderr.head}"
    return json.loads((run.stdout.tail or run.stdout.head).strip().splitlines()[-1])
