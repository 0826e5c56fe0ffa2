# SPDX-License-Identifier: MIT
"""What to expect of tasks, over several runs: averaged, forgotten when gone, never believed when damaged."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.knowledge import expected
from autotune.knowledge.expected import TasksKnown, merged
from autotune.knowledge.store import Knowledge
from autotune.knowledge.watched import FORGOTTEN_AFTER
from autotune.records import Expectations
from tests.support import sessions

MAKE = sessions.workload()
HERE = sessions.machine()
SEEN = Expectations({"7": 4_000, "8": 1_000}, 4_000, ("8",))


def longest(chains_ns: dict[str, int], *by_order: str) -> Expectations:
    return Expectations(chains_ns, max(chains_ns.values(), default=0), by_order)


def change(path: Path, **changed: Any) -> None:
    """Change what is kept, behind the store's back."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        (text,) = db.execute("SELECT document FROM expected").fetchone()
        db.execute("UPDATE expected SET document = ?", (json.dumps({**json.loads(text), **changed}),))


def test_what_one_run_showed_is_expected_afterwards(knowledge: Knowledge) -> None:
    assert knowledge.learn_expected(MAKE, HERE, SEEN) == SEEN
    assert knowledge.known_expected(MAKE, HERE) == SEEN


def test_another_workload_and_another_kind_of_machine_know_nothing_of_it(knowledge: Knowledge) -> None:
    knowledge.learn_expected(MAKE, HERE, SEEN)

    assert knowledge.known_expected(replace(MAKE, command="other", argv=("other",)), HERE) is None
    assert knowledge.known_expected(MAKE, replace(HERE, cpus=HERE.cpus + 1)) is None


def test_the_second_run_counts_as_much_as_the_first_and_later_ones_a_quarter(knowledge: Knowledge) -> None:
    for ns in (4_000, 2_000):
        found = knowledge.learn_expected(MAKE, HERE, longest({"7": ns}))
    assert found == longest({"7": 3_000})

    for _ in range(8):
        knowledge.learn_expected(MAKE, HERE, longest({"7": 3_000}))
    assert knowledge.learn_expected(MAKE, HERE, longest({"7": 7_000})) == longest({"7": 4_000})


def test_a_task_that_is_missing_from_several_runs_is_forgotten() -> None:
    memory = TasksKnown(SEEN)
    for runs in range(1, FORGOTTEN_AFTER):
        memory = merged(memory, longest({"7": 4_000}), runs)
        assert memory.expected.chains_ns["8"] == 1_000

    memory = merged(memory, longest({"7": 4_000}), FORGOTTEN_AFTER)

    assert memory == TasksKnown(longest({"7": 4_000}))


NUMBERS = st.integers(1, (1 << 64) - 1).map(str)
RUNS = st.dictionaries(NUMBERS, st.integers(0, expected.MOST_NS), max_size=20).map(lambda one: longest(one))


@given(RUNS, st.lists(RUNS, max_size=6))
def test_what_is_merged_is_within_what_was_seen_and_can_be_read_again(
    first: Expectations, more: list[Expectations]
) -> None:
    memory = TasksKnown(first)
    for runs, seen in enumerate(more, 1):
        memory = merged(memory, seen, runs)

    for number, ns in memory.expected.chains_ns.items():
        seen_ns = [one.chains_ns[number] for one in (first, *more) if number in one.chains_ns]
        assert min(seen_ns) - 1 <= ns <= max(seen_ns) + 1
    assert memory.expected.longest_ns == max(memory.expected.chains_ns.values(), default=0)


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 99},
        {"expected": {"chains_ns": {"7": -1}, "longest_ns": 1, "by_order": []}},
        {"expected": {"chains_ns": {"7": 1 << 63}, "longest_ns": 1, "by_order": []}},
        {"expected": {"chains_ns": {"seven": 1}, "longest_ns": 1, "by_order": []}},
        {"expected": {"chains_ns": {"\u0667": 1}, "longest_ns": 1, "by_order": []}},
        {"expected": {"chains_ns": {str(1 << 64): 1}, "longest_ns": 1, "by_order": []}},
        {"expected": {"chains_ns": {"7": 1}, "longest_ns": -1, "by_order": []}},
        {"expected": {"chains_ns": {"7": 1}, "longest_ns": 1, "by_order": ["x"]}},
        {"expected": {"chains_ns": {"7": 1.5}, "longest_ns": 1, "by_order": []}},
        {"expected": {"chains_ns": [], "longest_ns": 1}},
        {"expected": {"chains_ns": {str(n): 1 for n in range(expected.MOST_CHAINS + 1)}, "longest_ns": 1}},
        {"expected": {"chains_ns": {"7": 2}, "longest_ns": 1, "by_order": []}},
        {"absent": {"x": 1}},
        {"absent": {"7": -1}},
        {"absent": {"7": 10**400}},
        {"expected": None},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_damaged_is_passed_over_with_a_warning_and_learned_anew(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    warnings: list[str] = []
    with Knowledge(tmp_path / "knowledge.db", warn=warnings.append) as knowledge:
        knowledge.learn_expected(MAKE, HERE, SEEN)
    change(tmp_path / "knowledge.db", **changed)

    with Knowledge(tmp_path / "knowledge.db", warn=warnings.append) as knowledge:
        assert knowledge.known_expected(MAKE, HERE) is None
        assert len(warnings) == 1
        assert "damaged" in warnings[0]
        assert knowledge.learn_expected(MAKE, HERE, SEEN) == SEEN
