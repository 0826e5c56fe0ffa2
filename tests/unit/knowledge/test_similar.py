# SPDX-License-Identifier: MIT
"""Which other workloads are like one, in the promised order, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.knowledge import similar
from autotune.knowledge.past import PastSession
from autotune.records import Observation, Workload
from tests.support import sessions

SEEN = sessions.OBSERVED
UNLIKE = replace(SEEN, cpu_utilisation=0.05, forks_per_s=0.0, context_switches_per_s=90_000.0, involuntary_share=0.9)


def past(command: str, cwd: str = "/other", seen: Observation | None = UNLIKE, number: int = 1) -> PastSession:
    """A session of a command for sh."""
    return PastSession(
        id=number, command=command, cwd=cwd, started_at=100.0 - number, elapsed_s=9.0, machine="vm", kernel="6.18",
        cpus=2, cpu_model="x", acceleration="tcg", planner="offline", seed=1, winner=None, recommendation="",
        baseline_median=1.0, baseline_noise=0.01, baseline_runs=3, interrupted=False, failure=None, state="ended",
        measured_runs=9, results=(), name=f"{number:08x}", argv=("sh", "-c", command), observation=seen,
    )  # fmt: skip


def ours(command: str = "make -C a -j8", cwd: str = "/here") -> Workload:
    return sessions.workload(command=command, cwd=cwd)


def ranked(*others: PastSession, command: str = "make -C a -j8", seen: Observation | None = SEEN) -> list[str]:
    return [one.session.command for one in similar.ranked(ours(command), seen, others)]


def test_the_order_is_command_shape_behaviour_words() -> None:
    others = [
        past("tar a", number=1),
        past("ninja", seen=SEEN, number=2),
        past("make -C b -j4", number=3),
        past("make -C a -j8", number=4),
        past("sleep 1", number=5),
    ]
    assert ranked(*others) == ["make -C a -j8", "make -C b -j4", "ninja", "tar a"]


@given(st.permutations(range(4)), st.floats(0.0, 1.0), st.integers(1, 64))
def test_no_lower_kind_goes_before_a_higher(order: list[int], busy: float, jobs: int) -> None:
    others = [
        past("make -C a -j8", number=1),
        past(f"make -C b -j{jobs}", number=2),
        past("ninja", seen=replace(SEEN, cpu_utilisation=busy), number=3),
        past("python a", number=4),
    ]
    found = similar.ranked(ours(), SEEN, [others[place] for place in order])
    numbers = [one.session.id for one in found]
    assert numbers == sorted(numbers)
    assert numbers[:2] == [1, 2]
    assert all(0.0 < one.score <= 1.0 for one in found)


def test_the_same_command_in_another_clone_goes_before_one_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar, "project_of", lambda cwd: "example.org/x:." if cwd == "/here" else "")
    elsewhere, clone = past("make -C a -j8", "/a", number=1), past("make -C a -j8", "/b", number=2)
    found = similar.ranked(ours(), SEEN, [elsewhere, replace(clone, project="example.org/x:.")])
    assert [(one.session.cwd, one.score) for one in found] == [("/b", 0.95), ("/a", 0.9)]
    assert "in another clone of the project" in found[0].why


def test_the_likeness_is_explained_in_a_sentence() -> None:
    (one,) = similar.ranked(ours(), SEEN, [past("make -C b -j4")])
    assert one.why.startswith(
        "the same program in the same shape, make, with -C, -j: 'make -C b -j4' in /other (likeness"
    )
    assert one.sentence.endswith("of 1).")
    (alike,) = similar.ranked(ours(), SEEN, [past("ninja", seen=SEEN)])
    assert "it behaves alike (busy CPUs, forks, switches, waits, I/O; 0.00 apart)" in alike.why


@pytest.mark.parametrize(
    ("command", "other"),
    [
        ("make -j8", "A=1"),
        ("A=1", "B=1"),
        ("make -j8", "cmake -j8"),
        ("python a.py", "sh -c x"),
    ],
)
def test_what_has_nothing_in_common_is_not_alike(command: str, other: str) -> None:
    assert ranked(past(other), command=command, seen=SEEN) == []


def test_one_program_in_another_shape_has_its_words_in_common_only() -> None:
    (one,) = similar.ranked(ours("make -j8"), SEEN, [past("make -C x --dry-run -k -B")])
    assert "the same words in its command" in one.why
    assert one.score < 0.3


def test_of_each_command_the_newest_session_is_told_once() -> None:
    found = similar.ranked(ours(), SEEN, [past("make -C b -j4", number=1), past("make -C b -j4", number=2)])
    assert [one.session.id for one in found] == [1]


@pytest.mark.parametrize("jobs", [8, 7, 4, 1])
def test_nearer_numbers_are_more_alike(jobs: int) -> None:
    near, far = similar.ranked(ours("make -j8"), None, [past(f"make -j{jobs}"), past("make -j64", number=2)])
    assert (near.session.id, far.session.id) == (1, 2)
    assert near.score > far.score


def test_of_a_text_for_a_shell_the_options_count_too() -> None:
    assert ranked(past("make -j4 | tee log"), command="make -j8 2>&1 | cat") == ["make -j4 | tee log"]


def test_without_a_baseline_behaviour_says_nothing() -> None:
    assert ranked(past("ninja", seen=SEEN), seen=None) == []
    assert ranked(past("ninja", seen=None)) == []


# --- behaviour ---

OBSERVATIONS = st.builds(
    Observation,
    wall_s=st.floats(0.01, 100),
    cpu_utilisation=st.floats(0, 1),
    parallelism=st.floats(0, 64),
    run_wait_share=st.none() | st.floats(0, 9),
    pressure_cpu_share=st.none() | st.floats(0, 1),
    pressure_io_share=st.none() | st.floats(0, 1),
    context_switches_per_s=st.floats(0, 1e6),
    involuntary_share=st.floats(0, 1),
    forks_per_s=st.floats(0, 1e5),
    cpus=st.integers(1, 256),
)


@given(OBSERVATIONS, OBSERVATIONS)
def test_a_distance_is_none_to_itself_and_the_same_both_ways(one: Observation, other: Observation) -> None:
    assert similar.distance(one, one) == 0.0
    assert similar.distance(one, other) == pytest.approx(similar.distance(other, one))
    assert similar.distance(one, other) >= 0.0


@pytest.mark.parametrize(
    "changed", [{"cpu_utilisation": 0.4}, {"forks_per_s": 900.0}, {"run_wait_share": 0.0}, {"pressure_io_share": 0.9}]
)
def test_each_part_of_a_behaviour_counts(changed: dict[str, Any]) -> None:
    assert similar.distance(SEEN, replace(SEEN, **changed)) > 0.05
