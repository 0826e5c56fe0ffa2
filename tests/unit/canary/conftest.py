# SPDX-License-Identifier: MIT
"""What several tests of the canary start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.sysfs_kernel import Kernel


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    (tmp_path / "sched_ext").mkdir()
    return Kernel(tmp_path / "sched_ext")
