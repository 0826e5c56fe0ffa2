# SPDX-License-Identifier: MIT
"""This machine as the knowledge store compares it is the one that a session describes."""

from __future__ import annotations

from autotune.knowledge.best import differences
from autotune.machine.executor import describe_machine
from autotune.machine.here import whereabouts


def test_it_is_what_a_session_on_this_host_would_keep() -> None:
    info, here = describe_machine("host", "", "none"), whereabouts()
    for name in ("acceleration", "kernel", "cpus", "cpu_model", "memory_bytes", "topology"):
        assert getattr(here, name) == getattr(info, name)
    assert here.where == info.kind


def test_without_its_topology_it_is_still_the_same_machine() -> None:
    assert whereabouts(with_topology=False).topology == ""
    assert differences(whereabouts(), whereabouts(with_topology=False)) == ()
