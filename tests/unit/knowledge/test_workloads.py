# SPDX-License-Identifier: MIT
"""Which workloads are one and the same, and which program they run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.knowledge.workloads import fingerprint, program_of
from autotune.records import Parameter, Workload
from tests.support import sessions

REAL = st.floats(allow_nan=False)
TEXT = st.text(st.characters(exclude_categories=[]), max_size=30)


WORKLOADS = st.builds(
    sessions.workload,
    command=TEXT,
    argv=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
    cwd=TEXT,
    setup=st.none() | TEXT,
    prepare=st.none() | TEXT,
    metric_regex=st.none() | TEXT,
    goal=st.sampled_from(["min", "max"]),
    pristine=st.booleans(),
)


@given(WORKLOADS, st.dictionaries(TEXT, TEXT), st.none() | REAL, st.booleans())
def test_environment_and_limits_do_not_make_another_workload(
    workload: Workload, env: dict[str, str], timeout_s: float | None, ignore_failure: bool
) -> None:
    changed = replace(workload, env=env, timeout_s=timeout_s, ignore_failure=ignore_failure, name="x")
    assert fingerprint(changed) == fingerprint(workload)


@pytest.mark.parametrize(
    "changed",
    [
        {"argv": ("sh", "-c", "make -j4")},
        {"argv": ("sh", "-c make -j8")},
        {"cwd": "/x"},
        {"prepare": "x"},
        {"setup": "x"},
        {"conclude": "x"},
        {"parameters": (Parameter("jobs", ("2", "4")),)},
        {"argv": ("bash", "-c", "make -j8")},
        {"metric_regex": "x"},
        {"goal": "max"},
        {"pristine": True},
    ],
)
def test_what_runs_and_what_is_measured_makes_another_workload(changed: dict[str, Any]) -> None:
    assert fingerprint(sessions.workload()) != fingerprint(sessions.workload(**changed))


def test_prepare_and_setup_are_told_apart() -> None:
    assert fingerprint(sessions.workload(prepare="x")) != fingerprint(sessions.workload(setup="x"))


def test_a_fingerprint_stays_what_it_was_so_that_nothing_learned_is_lost() -> None:
    assert fingerprint(sessions.workload()) == "5010c5f5e399b59f043e70beb79b3233"


def test_the_program_is_named_without_its_path_and_variables() -> None:
    assert program_of(sessions.workload(command="A=1 B=2 /usr/bin/make -j")) == "make"
    assert program_of(sessions.workload(argv=("./bench", "--x"), command="./bench --x")) == "bench"
