# SPDX-License-Identifier: MIT
"""Energy counters, with files as the kernel has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autotune.measure import energy


def zone(top: Path, directory: str, /, **files: object) -> None:
    (top / directory).mkdir(exist_ok=True)
    for key, value in files.items():
        (top / directory / key).write_text(f"{value}\n")


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    zone(tmp_path, "intel-rapl", name="")
    zone(tmp_path, "intel-rapl:0", name="package-0", energy_uj=900, max_energy_range_uj=10**12)
    zone(tmp_path, "intel-rapl:0:0", name="core", energy_uj=500, max_energy_range_uj=10**12)
    zone(tmp_path, "intel-rapl:1", name="package-1", energy_uj=100, max_energy_range_uj=10**12)
    zone(tmp_path, "intel-rapl:2", name="psys", energy_uj=77, max_energy_range_uj=10**12)
    return tmp_path


def test_packages_are_added_up_and_their_parts_are_not_counted_twice(powercap: Path) -> None:
    before = energy.read(str(powercap))
    zone(powercap, "intel-rapl:0", energy_uj=2_000_900)
    zone(powercap, "intel-rapl:0:0", energy_uj=9_000_000)
    zone(powercap, "intel-rapl:1", energy_uj=1_000_100)
    assert energy.spent_j(before, energy.read(str(powercap)), 1.0) == 3.0


def test_a_counter_may_wrap_once(powercap: Path) -> None:
    zone(powercap, "intel-rapl:0", energy_uj=10**12 - 1_000_000)
    before = energy.read(str(powercap))
    zone(powercap, "intel-rapl:0", energy_uj=1_000_000)
    assert energy.spent_j(before, energy.read(str(powercap)), 1.0) == 2.0
    assert energy.spent_j(before, energy.read(str(powercap)), 1e6) is None, "it may have wrapped several times"


@pytest.mark.parametrize("text", ["", "many", "-"])
def test_whatever_is_odd_makes_it_unknown(powercap: Path, text: str) -> None:
    before = energy.read(str(powercap))
    zone(powercap, "intel-rapl:1", energy_uj=text)
    assert energy.spent_j(before, energy.read(str(powercap)), 1.0) is None


def test_nothing_to_read_is_no_error(tmp_path: Path, powercap: Path) -> None:
    assert energy.read(str(tmp_path / "none")) == {}
    before = energy.read(str(powercap))
    (powercap / "intel-rapl:0" / "energy_uj").unlink()
    assert energy.spent_j(before, energy.read(str(powercap)), 1.0) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_of_roots_is_no_error(powercap: Path) -> None:
    (powercap / "intel-rapl:0" / "energy_uj").chmod(0)
    assert energy.read(str(powercap)) == {}


def test_the_real_directory_is_read_without_an_error() -> None:
    assert isinstance(energy.read(), dict)
