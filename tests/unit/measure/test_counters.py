# SPDX-License-Identifier: MIT
"""Counters of the machine, read from a `/proc` made up here and from the real one."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest

from autotune.measure.counters import average, counters, observe, snapshot
from autotune.records import Output, Run, Snapshot

STAT = """\
cpu  1000 100 500 8000 400 0 50 25 900 0
cpu0 500 50 250 4000 200 0 25 12 450 0
intr 12345 0 0
ctxt 987654
btime 1700000000
processes 4321
procs_running 1
"""
SCHEDSTAT = """\
version 17
timestamp 4295892044
cpu0 0 0 0 0 0 0 5000000000 1500000000 700
domain0 MC 03 0 0 0
cpu1 0 0 0 0 0 0 6000000000 500000000 300
"""
PRESSURE = "some avg10=0.00 avg60=0.00 avg300=0.00 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "schedstat").write_text(SCHEDSTAT)
    (tmp_path / "pressure").mkdir()
    for resource, total_us in (("cpu", 2_500_000), ("io", 1_000_000), ("memory", 0)):
        (tmp_path / "pressure" / resource).write_text(PRESSURE.format(total_us))
    return tmp_path


def test_a_snapshot_reads_every_counter(proc: Path) -> None:
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    seen = snapshot(str(proc))
    assert seen.cpu_total_s == pytest.approx(10075 * tick_s)
    assert seen.cpu_busy_s == pytest.approx(1675 * tick_s)  # neither idle nor waiting for input and output
    assert (seen.context_switches, seen.forks) == (987654, 4321)
    assert (seen.run_wait_s, seen.timeslices) == (2.0, 1000)
    assert (seen.pressure_cpu_s, seen.pressure_io_s, seen.pressure_memory_s) == (2.5, 1.0, 0.0)
    assert seen.at_s <= time.monotonic()


def test_what_the_kernel_does_not_show_is_none(proc: Path) -> None:
    (proc / "schedstat").unlink()
    (proc / "pressure" / "io").unlink()
    seen = snapshot(str(proc))
    assert (seen.run_wait_s, seen.timeslices, seen.pressure_io_s) == (None, None, None)
    assert seen.pressure_cpu_s == 2.5


def test_counters_are_exactly_the_fields_of_a_snapshot(proc: Path) -> None:
    assert set(counters(str(proc))) == {field.name for field in dataclasses.fields(Snapshot)}


def test_this_machines_counters_move_forward() -> None:
    before = snapshot()
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    after = snapshot()
    assert after.at_s > before.at_s
    assert after.forks > before.forks
    assert after.context_switches > before.context_switches
    assert after.cpu_total_s >= before.cpu_total_s > 0
    assert 0 <= after.cpu_busy_s <= after.cpu_total_s


BEFORE = Snapshot(100.0, 50.0, 200.0, 1000, 10, 3.0, 1.0, 2.0, 0.0, 500)
AFTER = Snapshot(102.0, 53.0, 204.0, 5000, 50, 4.0, 2.0, 2.5, 0.0, 900)
NOTHING = Output("", "", 0, 0)
RUN = Run(1.5, 2.0, 1.0, 1 << 20, 30, 10, 0, 0, 0, None, False, NOTHING, NOTHING)


def test_an_observation_relates_the_differences_to_time_and_cpus() -> None:
    seen = observe(BEFORE, AFTER, RUN, cpus=2)
    assert (seen.wall_s, seen.cpus) == (1.5, 2)
    assert seen.cpu_utilisation == pytest.approx(0.75)
    assert seen.parallelism == pytest.approx(2.0)
    assert seen.run_wait_share == pytest.approx(0.25)
    assert seen.pressure_cpu_share == pytest.approx(0.5)
    assert seen.pressure_io_share == pytest.approx(0.25)
    assert seen.context_switches_per_s == pytest.approx(2000)
    assert seen.involuntary_share == pytest.approx(0.25)
    assert seen.forks_per_s == pytest.approx(20)


def test_unknown_counters_stay_unknown() -> None:
    seen = observe(dataclasses.replace(BEFORE, run_wait_s=None, pressure_cpu_s=None), AFTER, RUN, cpus=2)
    assert (seen.run_wait_share, seen.pressure_cpu_share) == (None, None)


def test_no_time_between_is_no_division_by_zero() -> None:
    idle = dataclasses.replace(RUN, wall_s=0.0, voluntary_switches=0, involuntary_switches=0)
    seen = observe(BEFORE, BEFORE, idle, cpus=2)
    assert (seen.cpu_utilisation, seen.parallelism, seen.involuntary_share, seen.run_wait_share) == (0, 0, 0, 0)


def test_the_average_is_over_what_is_known() -> None:
    one = observe(BEFORE, AFTER, RUN, cpus=2)
    other = dataclasses.replace(one, wall_s=2.5, run_wait_share=None, pressure_io_share=None)
    both_without = dataclasses.replace(one, pressure_io_share=None)
    mean = average([both_without, other])
    assert mean.wall_s == pytest.approx(2.0)
    assert mean.run_wait_share == pytest.approx(0.25)
    assert mean.pressure_io_share is None
    assert mean.cpus == 2


def test_an_average_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was observed"):
        average([])
