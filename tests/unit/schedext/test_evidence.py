# SPDX-License-Identifier: MIT
"""What shows that a run was scheduled by its candidate."""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.records import Evidence, KernelState, SchedulerExit
from autotune.schedext.evidence import EvidenceTaker, compare, exit_text
from autotune.schedext.holding.client import HolderClient
from tests.support.scripted_holder import DIE, EEVDF, OURS, SPEC, scripted, show

STALLED = SchedulerExit(1026, 0, "runnable task stall", "make[7] failed to run for 2.0s")


def evidence(
    tree: Path, holder: HolderClient | None, ops: str | None, before: KernelState, after: KernelState
) -> Evidence:
    show(tree, before)
    taker = EvidenceTaker(holder)
    taker.begin(ops)
    show(tree, after)
    return taker.finish()


def test_a_baseline_that_nobody_disturbed(tree: Path) -> None:
    assert evidence(tree, None, None, EEVDF, EEVDF) == Evidence(None, EEVDF, EEVDF, None)


def test_a_run_under_its_scheduler(tree: Path) -> None:
    holder = scripted()
    holder.attach(SPEC)
    assert evidence(tree, holder, "at_test", OURS, OURS) == Evidence("at_test", OURS, OURS, None)
    show(tree, EEVDF)
    holder.close()


def test_an_ejection_is_reported_with_the_kernel_s_reason(tree: Path) -> None:
    holder = scripted(record="to_json(SchedulerExit(1026, 0, 'runnable task stall', 'make[7] failed to run for 2.0s'))")
    holder.attach(SPEC)
    gone = KernelState("disabled", None, 5, 0, False)
    seen = evidence(tree, holder, "at_test", OURS, gone)
    assert seen.problem == "ejected: runnable task stall (make[7] failed to run for 2.0s)"
    assert (seen.before, seen.after) == (OURS, gone)
    holder.close()


def test_a_scheduler_that_went_without_a_reason(tree: Path) -> None:
    holder = scripted()
    holder.attach(SPEC)
    seen = evidence(tree, holder, "at_test", OURS, KernelState("disabled", None, 5, 0, False))
    assert seen.problem == "at_test was not attached after the run (state disabled)"
    holder.close()


def test_a_holder_that_died_during_the_run(tree: Path) -> None:
    holder = scripted(exit=DIE)
    holder.attach(SPEC)
    seen = evidence(tree, holder, "at_test", OURS, KernelState("disabled", None, 5, 0, False))
    assert seen.problem == "the holder of the scheduler died"
    holder.close()


def test_a_run_whose_holder_died_is_invalid_whatever_the_kernel_says(tree: Path) -> None:
    """A scheduler that its holder's death left attached vouches for nothing."""
    holder = scripted()
    holder.attach(SPEC)
    show(tree, OURS)
    taker = EvidenceTaker(holder)
    taker.begin("at_test")
    holder._worker.process.kill()
    holder._worker.process.wait()
    assert taker.finish().problem == "the holder of the scheduler died"
    show(tree, EEVDF)
    holder.close()


def test_a_scheduler_that_was_attached_anew_before_the_run(tree: Path) -> None:
    """The same name in the same state, but not the one that was confirmed."""
    holder = scripted()
    holder.attach(SPEC)
    again = KernelState("enabled", "at_test", 7, 0, True)
    assert evidence(tree, holder, "at_test", again, again).problem == "another scheduler was attached before the run"
    show(tree, EEVDF)
    holder.close()


def state(name: str, ops: str | None = None, seq: int = 5) -> KernelState:
    return KernelState(name, ops, seq, 0, None)


@pytest.mark.parametrize(
    ("expected", "before", "after", "problem"),
    [
        (None, state("disabled"), state("disabled"), None),
        (None, state("unsupported", None, 0), state("unsupported", None, 0), None),
        (None, state("enabled", "scx_x"), state("enabled", "scx_x"), "'scx_x' was attached before the run"),
        (None, state("disabled"), state("enabled", "scx_x"), "'scx_x' was attached after the run"),
        (None, state("disabled"), state("disabled", None, 6), "attached during the run"),
        (None, state("enabling"), state("enabling"), "attached before the run"),
        ("at_a", state("enabled", "at_a"), state("enabled", "at_a"), None),
        ("at_a", state("enabled", "at_a_1.2.3"), state("enabled", "at_a_1.2.3"), None),
        ("at_a", state("disabled"), state("disabled"), "at_a was not attached before the run (state disabled)"),
        ("at_a", state("enabled", "at_a"), state("disabling", "at_a"), "after the run (state disabling)"),
        ("at_a", state("enabled", "at_a"), state("enabled", "at_a", 6), "attached itself again during the run"),
        (
            "at_a",
            state("enabled", "at_a"),
            state("enabled", "at_b", 6),
            "another scheduler was attached during the run",
        ),
        (
            "at_a",
            state("enabled", "at_b"),
            state("enabled", "at_b"),
            "'at_b' was attached before the run instead of at_a",
        ),
        ("at_a", state("enabled", "at_a"), state("enabled", "at_a_2"), "'at_a_2' was attached after the run"),
    ],
)
def test_what_counts_as_evidence(
    expected: str | None, before: KernelState, after: KernelState, problem: str | None
) -> None:
    found = compare(expected, before, after)
    assert (found is None) == (problem is None)
    assert (problem or "") in (found or "")


@pytest.mark.parametrize(
    ("gone", "text"),
    [
        (STALLED, "ejected: runnable task stall (make[7] failed to run for 2.0s)"),
        (SchedulerExit(1024, 0, "runtime error", ""), "ejected: runtime error"),
        (SchedulerExit(1025, 0, "scx_bpf_error", "no queue\nline two"), "ejected: scx_bpf_error (no queue)"),
        (SchedulerExit(64, 0, "unregistered from user space", ""), "left: unregistered from user space"),
        (SchedulerExit(67, 0, "disabled by sysrq-S", ""), "left: disabled by sysrq-S"),
        (SchedulerExit(1027, 0, "", ""), "ejected: exit kind 1027"),
    ],
)
def test_why_a_scheduler_went_in_the_table_s_words(gone: SchedulerExit, text: str) -> None:
    assert exit_text(gone) == text
