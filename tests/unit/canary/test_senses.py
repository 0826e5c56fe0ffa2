# SPDX-License-Identifier: MIT
"""The real probe, the look before, and the state that is kept open."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from autotune import canary
from autotune.canary import Senses, WakeProbe, look
from autotune.canary import senses as sensing
from autotune.errors import AutotuneError
from autotune.schedext.kernel import read_state
from tests.support.sysfs_kernel import OPS, Kernel, later


@pytest.mark.slow
def test_the_probe_s_lateness_is_what_it_overslept() -> None:
    probe = WakeProbe(partial=False)
    began_s = time.monotonic()
    probe.start()
    time.sleep(1.0)
    probe.stop()
    wakes = probe.take()
    elapsed_s = time.monotonic() - began_s
    assert 3 <= len(wakes) <= elapsed_s / canary.PROBE_PERIOD_S
    assert sum(canary.PROBE_PERIOD_S + wake.late_s for wake in wakes) <= elapsed_s
    assert probe.take() == []


@pytest.mark.skipif(os.path.exists("/sys/kernel/sched_ext"), reason="this kernel has SCHED_EXT")
def test_partial_mode_on_a_kernel_without_sched_ext_is_refused_with_a_reason() -> None:
    probe = WakeProbe(partial=True)
    with pytest.raises(AutotuneError, match="cannot be under SCHED_EXT"):
        probe.start()
    probe.stop()


def test_a_look_tells_of_the_machine(tmp_path: Path) -> None:
    pressure = tmp_path / "cpu"
    pressure.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n")
    clock = iter((100.0, 100.4))
    later(0.1, lambda: pressure.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1200000\n"))
    seen = look(0.4, senses=Senses(pressure_path=str(pressure), now=lambda: next(clock)))
    assert seen.wakes >= 3
    assert 0.0 <= seen.p99_s <= seen.worst_s
    assert seen.pressure_share == pytest.approx(0.2 / 0.4)


def test_a_look_without_pressure_accounting(tmp_path: Path) -> None:
    assert look(0.1, senses=Senses(pressure_path=str(tmp_path / "absent"))).pressure_share is None


def test_while_nothing_changes_a_watch_reads_three_files_that_stay_open(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a watch costs is measured by `scripts/bench watch`; here, that it does not grow with how long it watches."""
    kernel.attach(False)
    state = sensing.KeptState(kernel.sysfs)
    assert state.read() == read_state(kernel.sysfs)
    with monkeypatch.context() as patch:
        patch.setattr(sensing, "read_state", lambda _sysfs: pytest.fail("all was read anew"))
        patch.setattr(os, "open", lambda *_: pytest.fail("a file was opened"))
        for _ in range(100):
            assert (state.read().state, state.read().ops) == ("enabled", OPS)
    state.close()


@pytest.mark.parametrize("how", ["gone", "another", "attached anew", "ops vanish", "new files", "no sched_ext"])
def test_every_change_of_the_state_is_seen_at_the_next_look(kernel: Kernel, how: str) -> None:
    kernel.attach(False)
    state = sensing.KeptState(kernel.sysfs)
    state.read()
    if how == "gone":
        kernel.show("disabled")
    elif how == "another":
        kernel.show("enabled", "scx_other")
    elif how == "attached anew":
        kernel.seq += 1
        kernel.show("enabled", OPS)
    elif how == "ops vanish":  # as in sysfs: `root` goes with its scheduler, and a file kept open says so no more
        kernel.show("disabled")
        (kernel.sysfs / "root" / "ops").unlink()
    elif how == "new files":
        for name in ("state", "enable_seq"):
            (kernel.sysfs / name).unlink()
        kernel.show("disabled")
        (kernel.sysfs / "root" / "ops").write_text("")
    else:
        shutil.rmtree(kernel.sysfs)
        kernel.sysfs.mkdir()
    if how in ("new files", "no sched_ext"):  # sysfs never replaces these files while they are open: it is another tree
        state.close()
    assert state.read() == read_state(kernel.sysfs)
    (kernel.sysfs / "root").mkdir(exist_ok=True)
    kernel.attach(False)
    assert state.read() == read_state(kernel.sysfs)
    state.close()
