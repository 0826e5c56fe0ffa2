# SPDX-License-Identifier: MIT
"""Classes of workloads: what stood out in a baseline, in words."""

from __future__ import annotations

from dataclasses import replace

from autotune.knowledge.classes import CLASSES, class_of
from tests.support import sessions


def test_what_stands_out_is_named_and_nothing_where_nothing_is_known() -> None:
    plain = replace(
        sessions.OBSERVED, cpu_utilisation=0.6, pressure_cpu_share=0.0, forks_per_s=0.0, involuntary_share=0.0,
        context_switches_per_s=10.0, cpus=2,
    )  # fmt: skip
    assert class_of(None) == class_of(plain) == ""
    assert class_of(replace(plain, forks_per_s=200.0)) == "many short processes"
    assert class_of(replace(plain, cpu_utilisation=0.99, pressure_cpu_share=0.5)) == "more work than CPUs"
    assert class_of(replace(plain, cpu_utilisation=0.1, context_switches_per_s=1e5)) == "many switches, idle CPUs"


def test_each_class_has_a_name_of_its_own() -> None:
    assert len({name for name, _ in CLASSES}) == len(CLASSES)
