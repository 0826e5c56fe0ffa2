# SPDX-License-Identifier: MIT
"""A long-tail batch in a real kernel: the bench sees its jobs, and runs it with and without a niceness."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.machine.vm.kernels import Kernel
from autotune.records import BASELINE
from scripts.longtail import measuring
from scripts.longtail.batch import Shape, make

pytestmark = [pytest.mark.vm, pytest.mark.slow]


def test_what_the_jobs_take_is_seen_and_each_run_has_its_times(kernel: Kernel, tmp_path: Path) -> None:
    assert kernel.image.exists()
    batch = make("hotkey_aggregation", Shape(jobs=4, long=20.0, scale=0.2), tmp_path)

    took, runs = measuring.watched_and_niced(batch, cpus=2, rounds=1)

    assert took.long_s > 3 * took.short_s > 0.0
    assert took.long_s <= took.chain_s
    assert next(iter(runs)) == BASELINE
    for samples in runs.values():
        assert [sample.wall_s > 0.0 and sample.cpu_s > took.long_s / 4 for sample in samples] == [True]
    assert not (batch.directory / "work").exists()
