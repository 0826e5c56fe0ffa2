# SPDX-License-Identifier: MIT
"""A holder in this process, over a stand-in for libbpf and the kernel."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from autotune.schedext import kernel
from autotune.schedext.holding import attached
from autotune.schedext.holding import holder as module
from autotune.schedext.holding.holder import Holder, Lock
from tests.support.libbpf_stand_in import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    monkeypatch.setattr(module, "read_state", partial(kernel.read_state, found.tree))
    monkeypatch.setattr(module, "wait_for", partial(kernel.wait_for, sysfs=found.tree))
    monkeypatch.setattr(attached, "wait_for", partial(kernel.wait_for, sysfs=found.tree))
    monkeypatch.setattr(module, "CONFIRM_S", 0.2)
    monkeypatch.setattr(attached, "CONFIRM_S", 0.2)
    monkeypatch.setattr(module, "SETTLE_S", 0.2)
    monkeypatch.setattr(module, "Libbpf", lambda _path: found)
    monkeypatch.setattr(attached, "KernelLog", partial(kernel.KernelLog, str(tmp_path / "no log")))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return found


@pytest.fixture
def holder(machine: Machine, tmp_path: Path) -> Holder:
    assert machine
    return Holder(None, Lock(str(tmp_path / "lock")))
