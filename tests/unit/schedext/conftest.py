# SPDX-License-Identifier: MIT
"""The kernel's word, as a test writes it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from autotune.schedext import evidence as schedext_evidence
from autotune.schedext import kernel
from autotune.schedext.holding import client as module
from tests.support.scripted_holder import EEVDF, show


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sysfs tree that the client looks at; at first nothing is attached."""
    top = tmp_path / "sched_ext"
    show(top, EEVDF)
    monkeypatch.setattr(schedext_evidence, "read_state", partial(kernel.read_state, top))
    monkeypatch.setattr(module, "wait_for", partial(kernel.wait_for, sysfs=top))
    monkeypatch.setattr(module, "DETACH_S", 0.3)
    return top
