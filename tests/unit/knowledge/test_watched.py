# SPDX-License-Identifier: MIT
"""What workloads do, over several runs: averaged by group, forgotten when gone, and never believed when damaged."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autotune.knowledge import watched
from autotune.knowledge.store import Knowledge
from autotune.knowledge.watched import FORGOTTEN_AFTER, Memory, merged
from autotune.records import ChainLink, Expectations, Profile, TaskGroup
from tests.support import sessions

MAKE = sessions.workload()
HERE = sessions.machine()
SECONDS = st.floats(0.001, 1e6)
EXPECTED = Expectations({"7": 2_000_000}, 2_000_000)


def group(key: str, cpu_s: float, **changed: Any) -> TaskGroup:
    return replace(TaskGroup(key, 1, cpu_s, cpu_s, 0.1, 0.2, 0.0, cpu_s, 2, 4), **changed)


def seen(*groups: TaskGroup, **changed: Any) -> Profile:
    return sessions.profile(groups=groups, **changed)


def row_of(path: Path, change: Callable[[dict[str, Any]], object] | str) -> None:
    """Change what is kept, behind the store's back."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        (text,) = db.execute("SELECT document FROM watched").fetchone()
        if callable(change):
            document = json.loads(text)
            change(document)
            text = json.dumps(document)
        else:
            text = change
        db.execute("UPDATE watched SET document = ?", (text,))


# --- what is kept ---


def test_what_one_run_showed_is_known_afterwards(knowledge: Knowledge) -> None:
    knowledge.learn_workload(MAKE, HERE, sessions.profile())

    assert knowledge.known_workload(MAKE, HERE) == sessions.profile()


@pytest.mark.parametrize(
    "other",
    [
        {"cpus": 4},
        {"cpu_model": "another"},
        {"acceleration": "none"},
    ],
)
def test_a_profile_of_another_machine_is_none_of_this_one_s(knowledge: Knowledge, other: dict[str, Any]) -> None:
    knowledge.learn_workload(MAKE, HERE, sessions.profile())

    assert knowledge.known_workload(MAKE, sessions.machine(**other)) is None


def test_neither_is_one_of_another_command(knowledge: Knowledge) -> None:
    knowledge.learn_workload(MAKE, HERE, sessions.profile())

    assert knowledge.known_workload(sessions.workload(command="make -j4"), HERE) is None


# --- merging ---


def test_a_group_is_averaged_over_the_runs_that_had_it(knowledge: Knowledge) -> None:
    for cpu_s in (1.0, 2.0, 3.0):
        knowledge.learn_workload(MAKE, HERE, seen(group("cc a.c", cpu_s)))

    found = knowledge.known_workload(MAKE, HERE)

    assert found is not None
    assert found.groups[0].cpu_s == pytest.approx(2.0)
    assert found.groups[0].longest_s == pytest.approx(2.0)


def test_what_it_did_long_ago_matters_less_and_less() -> None:
    memory = Memory(seen(group("cc", 1.0)), {})
    for runs in range(1, 30):
        memory = merged(memory, seen(group("cc", 9.0)), runs)

    assert memory.profile.groups[0].cpu_s == pytest.approx(9.0, rel=0.01)


def test_a_group_that_is_missing_is_kept_for_some_runs_and_then_forgotten() -> None:
    memory, there = Memory(seen(group("once", 5.0), group("cc", 1.0)), {}), []
    for runs in range(1, FORGOTTEN_AFTER + 2):
        memory = merged(memory, seen(group("cc", 1.0)), runs)
        there.append("once" in {one.key for one in memory.profile.groups})

    assert there == [True] * (FORGOTTEN_AFTER - 1) + [False] * 2
    assert memory.absent == {}


def test_a_group_that_comes_back_is_not_counted_as_missing_any_more() -> None:
    both, one = seen(group("now and then", 5.0), group("cc", 1.0)), seen(group("cc", 1.0))
    memory = Memory(both, {})
    for runs, found in enumerate([one, one, both, one, one, one], 1):
        memory = merged(memory, found, runs)

    assert "now and then" in {one.key for one in memory.profile.groups}


@given(SECONDS, SECONDS, SECONDS, SECONDS, st.integers(1, 50))
def test_the_bound_of_the_mean_is_a_bound(
    work_s: float, chain_s: float, wall_s: float, other_s: float, runs: int
) -> None:
    least_s = max(work_s / 2, chain_s)
    old = seen(group("cc", work_s), work_s=work_s, chain_s=chain_s, least_s=least_s, wall_s=wall_s)
    new = seen(group("cc", other_s), work_s=other_s, chain_s=other_s, least_s=other_s * 1.5, wall_s=other_s * 2)

    found = merged(Memory(old, {}), new, runs).profile

    assert found.least_s >= max(found.work_s / 2, found.chain_s) * (1 - 1e-9)
    assert min(least_s, other_s * 1.5) * (1 - 1e-9) <= found.least_s <= max(least_s, other_s * 1.5) * (1 + 1e-9)
    assert 0.0 <= found.possible <= 1.0
    assert min(work_s, other_s) <= found.work_s * (1 + 1e-9)
    assert found.work_s <= max(work_s, other_s) * (1 + 1e-9)


def test_however_many_runs_it_stays_bounded(knowledge: Knowledge, path: Path) -> None:
    for run in range(4):
        many = tuple(group(f"{run} {number} {'x' * 150}", 1.0 + number) for number in range(500))
        knowledge.learn_workload(MAKE, HERE, seen(*many))

    found = knowledge.known_workload(MAKE, HERE)

    assert found is not None
    assert len(found.groups) <= watched.MOST_GROUPS
    assert path.stat().st_size < 4 * watched.MOST_DOCUMENT_CHARACTERS


# --- damage ---


def hostile_keys(document: dict[str, Any]) -> None:
    document["profile"]["groups"][0]["key"] = "make\x1b]0;owned\x07"


DAMAGE: dict[str, Callable[[dict[str, Any]], object] | str] = {
    "no JSON": "{",
    "nothing": "null",
    "deep": "[" * 100_000,
    "a part is missing": lambda found: found["profile"].pop("work_s"),
    "a text for a number": lambda found: found["profile"].update(wall_s="1"),
    "a negative time": lambda found: found["profile"].update(wait_s=-1.0),
    "no number": lambda found: found["profile"].update(wall_s=float("nan")),
    "infinite": lambda found: found["profile"].update(work_s=float("inf")),
    "more than all is possible": lambda found: found["profile"].update(possible=1.5),
    "a count of 400 digits": lambda found: found["profile"].update(tasks=10**400),
    "CPUs that were busy beyond measure": lambda found: found["profile"]["slots"][0].update(busy=1e308),
    "half a character": lambda found: found["profile"]["groups"][0].update(key="\ud800"),
    "other CPUs": lambda found: found["profile"].update(cpus=0),
    "control characters": hostile_keys,
    "a key of a megabyte": lambda found: found["profile"]["groups"][0].update(key="x" * 10**6),
    "too many groups": lambda found: found["profile"].update(groups=found["profile"]["groups"] * 1000),
    "too many links": lambda found: found["profile"].update(chain=[{**vars(ChainLink("x", 1, 1, 1))}] * 2000),
    "waits of no size": lambda found: found["profile"].update(waits={"many": 1}),
    "absent for a word": lambda found: found.update(absent={"cc": "twice"}),
}


@pytest.mark.first
@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_or_hostile_is_not_used_and_is_replaced_by_the_next_run(
    path: Path, change: Callable[[dict[str, Any]], object] | str
) -> None:
    said: list[str] = []
    with Knowledge(path, warn=said.append) as knowledge:
        knowledge.learn_workload(MAKE, HERE, sessions.profile())
        row_of(path, change)

        assert knowledge.known_workload(MAKE, HERE) is None
        assert len(said) == 1
        assert said[0].startswith("what is known of this command is damaged and not used: ")

        knowledge.learn_workload(MAKE, HERE, sessions.profile())
        assert knowledge.known_workload(MAKE, HERE) == sessions.profile()


@pytest.mark.parametrize("runs", ["9e999", "-9e999", str(2**63 - 1), "-5", "'many'", "x'00'"])
def test_a_number_of_runs_that_cannot_be_keeps_no_later_run_from_being_kept(path: Path, runs: str) -> None:
    with Knowledge(path) as knowledge:
        knowledge.learn_workload(MAKE, HERE, sessions.profile())
        knowledge.learn_expected(MAKE, HERE, EXPECTED)
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute(f"UPDATE watched SET runs = {runs}")
            db.execute(f"UPDATE expected SET runs = {runs}")

        knowledge.learn_workload(MAKE, HERE, sessions.profile())
        knowledge.learn_expected(MAKE, HERE, EXPECTED)

        assert knowledge.known_workload(MAKE, HERE) == sessions.profile()
        assert knowledge.known_expected(MAKE, HERE) == EXPECTED
