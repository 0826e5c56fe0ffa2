# SPDX-License-Identifier: MIT
"""Classes of workloads: what the system did in a baseline, in a few words. The offline planner goes by the same tests.
Pure."""

from __future__ import annotations

from autotune.records import Observation


def waiting(seen: Observation) -> float:
    """Return the share of time that tasks waited for a CPU; 0 where the kernel does not report it."""
    return seen.pressure_cpu_share if seen.pressure_cpu_share is not None else (seen.run_wait_share or 0.0)


def is_crowded(seen: Observation) -> bool:
    return seen.cpu_utilisation >= 0.75 and waiting(seen) >= 0.2


def is_forking(seen: Observation) -> bool:
    return seen.forks_per_s >= 20 * seen.cpus


def is_preempted(seen: Observation) -> bool:
    return seen.involuntary_share >= 0.4 and seen.cpu_utilisation >= 0.5


def is_switching(seen: Observation) -> bool:
    return seen.context_switches_per_s >= 2000 * seen.cpus


def is_idle(seen: Observation) -> bool:
    return seen.cpu_utilisation <= 0.5


CLASSES = (
    ("more work than CPUs", is_crowded),
    ("many short processes", is_forking),
    ("many preemptions", is_preempted),
    ("many switches", is_switching),
    ("idle CPUs", is_idle),
)


def class_of(seen: Observation | None) -> str:
    """Return the class of a workload: `more work than CPUs, many short processes`; empty where nothing stands out, or
    what the system did is not known."""
    return ", ".join(name for name, shows in CLASSES if seen is not None and shows(seen))
