# SPDX-License-Identifier: MIT
"""What a machine is found to have, from small trees like the kernel's."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from autotune.machine.executor import describe_machine
from autotune.machine.traits import topology, traits
from autotune.schedext.catalogue.knobs import Trait


def machine(tmp_path: Path, files: dict[str, str], cpus: int = 4) -> str:
    """A plain machine of one socket, one cache and one node, with other or more files. `*` stands for every CPU."""
    plain = {
        "cpu/cpu*/topology/thread_siblings_list": "*",
        "cpu/cpu*/cache/index0/level": "1",
        "cpu/cpu*/cache/index0/shared_cpu_list": "*",
        "cpu/cpu*/cache/index3/level": "3",
        "cpu/cpu*/cache/index3/shared_cpu_list": f"0-{cpus - 1}",
        "node/node0/cpulist": f"0-{cpus - 1}",
        "cpu/nohz_full": "  (null)",
    }
    for path, text in {**plain, **files}.items():
        for cpu in range(cpus) if "*" in path else (0,):
            place = tmp_path / path.replace("*", str(cpu))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text.replace("*", str(cpu)) + "\n")
    return str(tmp_path)


SPLIT_CACHE = {f"cpu/cpu{cpu}/cache/index3/shared_cpu_list": "0-1" if cpu < 2 else "2-3" for cpu in range(4)}
SECOND_NODE = {"node/node0/cpulist": "0-1", "node/node1/cpulist": "2-3"}
LITTLE = {f"cpu/cpu{cpu}/cpu_capacity": "1024" if cpu < 2 else "446" for cpu in range(4)}
SLOWER = {f"cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq": "5200000" if cpu < 2 else "3900000" for cpu in range(4)}


def test_a_plain_machine_has_none(tmp_path: Path) -> None:
    assert traits(machine(tmp_path, {})) == ()


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (SPLIT_CACHE, "several_llcs"),
        (SECOND_NODE, "numa"),
        (LITTLE, "core_types"),
        (SLOWER, "core_types"),
        ({"cpu/types/intel_core_0/cpulist": "0-1", "cpu/types/intel_atom_0/cpulist": "2-3"}, "core_types"),
        ({"cpu/cpu*/topology/thread_siblings_list": "0-1"}, "smt"),
        ({"cpu/cpu*/topology/thread_siblings_list": "0,2"}, "smt"),
        ({"cpu/cpu*/cpufreq/scaling_governor": "schedutil"}, "schedutil"),
        ({"cpu/nohz_full": "1-3"}, "nohz_full"),
    ],
)
def test_each_trait_is_found_by_what_the_kernel_shows(tmp_path: Path, files: dict[str, str], found: str) -> None:
    assert traits(machine(tmp_path, files)) == (found,)


def test_the_topology_is_described_in_words(tmp_path: Path) -> None:
    cores = {f"cpu/cpu{cpu}/topology/core_id": str(cpu // 2) for cpu in range(4)}
    one_socket = {**cores, "cpu/cpu*/topology/physical_package_id": "0"}
    shown = topology(machine(tmp_path, {**one_socket, **SPLIT_CACHE, **SECOND_NODE}))
    assert shown == "1 socket, 2 cores, 4 threads, 2 last-level caches, 2 NUMA nodes"


def test_a_kernel_that_tells_no_topology_is_not_guessed_at(tmp_path: Path) -> None:
    assert topology(str(tmp_path / "nothing")) == ""
    assert topology(machine(tmp_path, {})) == "", "no sockets"


@pytest.mark.parametrize(
    "files",
    [
        {"node/node1/cpulist": ""},
        {f"cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq": str(5_000_000 + cpu * 25_000) for cpu in range(4)},
        {"cpu/cpu*/cpufreq/scaling_governor": "performance"},
        {"cpu/nohz_full": ""},
        {"cpu/cpufreq/boost": "1", "cpu/cpuidle/current_driver": "none"},
    ],
    ids=["a node without CPUs", "cores that are ranked", "another governor", "no CPU without ticks", "other entries"],
)
def test_what_only_looks_like_a_trait_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert traits(machine(tmp_path, files)) == ()


def test_a_machine_that_says_nothing_has_none(tmp_path: Path) -> None:
    assert traits(str(tmp_path / "nothing")) == ()


def test_the_description_of_a_machine_names_only_traits_that_schedulers_may_ask_for() -> None:
    found = describe_machine("host", "", "none").traits
    assert found is not None
    assert set(found) <= set(typing.get_args(Trait))
