# SPDX-License-Identifier: MIT
"""Which runs are marked as disturbed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from autotune.records import Surroundings
from autotune.verdict.disturbance import marks


def runs(others: Sequence[float], elapsed_s: float = 2.0, cpus: int = 2) -> list[Surroundings]:
    """Runs during which others used so many CPUs."""
    return [Surroundings(elapsed_s, cpus, one * elapsed_s, 0.0) for one in others]


def hit(found: Sequence[str]) -> list[bool]:
    return [bool(one) for one in found]


def test_what_others_did_in_some_runs_marks_these() -> None:
    found = marks(runs([0.02, 0.01, 1.0, 0.03, 0.6, 0.02]))
    assert hit(found) == [False, False, True, False, True, False]
    assert found[2] == "others used 1.0 of 2 CPUs"


def test_a_server_outside_that_works_for_the_command_is_no_disturbance() -> None:
    """A container engine, a compile server: every run uses it, and nothing ran before the session."""
    assert not any(marks(runs([0.8, 0.82, 0.79, 0.85, 0.8, 0.81])))


def test_what_ran_before_the_session_too_disturbs_every_run() -> None:
    assert all(marks(runs([0.8, 0.82, 0.79, 0.85]), others_before=0.9))


def test_what_began_later_and_stayed_marks_the_rest() -> None:
    assert hit(marks(runs([0.0, 0.0, 0.0, *[1.0] * 9]))) == [False] * 3 + [True] * 9


@pytest.mark.parametrize("cpus", [1, 2, 16, 128])
def test_little_is_no_disturbance_however_many_cpus(cpus: int) -> None:
    assert not any(marks(runs([0.0, 0.0, 0.04 * cpus, 0.0], elapsed_s=10.0, cpus=cpus)))
    assert any(marks(runs([0.0, 0.0, 0.06 * cpus, 0.0], elapsed_s=10.0, cpus=cpus)))


def test_a_run_too_short_for_the_counters_is_not_marked() -> None:
    assert not any(marks(runs([0.0, 1.0, 0.0], elapsed_s=0.05)))


def test_steal_heat_and_a_lowered_cap_mark_a_run() -> None:
    def run(**more: float | int) -> Surroundings:
        return Surroundings(2.0, 2, 0.0, **{"stolen_s": 0.0, "throttled": 0, "frequency_cap": 1.0, **more})  # type: ignore[arg-type]

    found = marks([run(), run(stolen_s=0.8), run(throttled=3), run(frequency_cap=0.5), run(stolen_s=0.15)])
    assert found == [
        "",
        "20% of CPU time went to other virtual machines",
        "CPUs were too hot and slowed down",
        "CPUs were capped at 50% of their frequency",
        "",
    ]
    capped = run(frequency_cap=0.5)
    assert not any(marks([capped, capped, capped])), "as the user set it, for all runs alike"
    assert marks([run(stolen_s=0.8, throttled=1)]) == [
        "20% of CPU time went to other virtual machines; CPUs were too hot and slowed down"
    ]


def test_what_is_not_known_marks_nothing() -> None:
    assert marks([None, Surroundings(2.0, 2), Surroundings(0.0, 0, 0.0, 0.0)]) == ["", "", ""]
    assert marks([]) == []
