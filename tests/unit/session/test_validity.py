# SPDX-License-Identifier: MIT
"""Which failures count, and what a baseline that does not count is advised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotune.errors import WorkloadError
from tests.support.rough_machine import Rough, session
from tests.support.scripted_machine import a_run


@pytest.mark.parametrize(
    ("codes", "ends", "counts"),
    [
        ((), (1, 2, 255), True),
        ((1,), (1,), True),
        ((1,), (0,), True),
        ((1,), (2,), False),
        ((1, 137), (137,), True),
        ((9,), (137,), False),
    ],
)
def test_a_failure_counts_if_its_exit_code_is_ignored(
    codes: tuple[int, ...], ends: tuple[int, ...], counts: bool
) -> None:
    """Under the candidate; the baseline ends with 0. 137 is signal 9 as a shell shows it, or a signal."""
    for end in ends:
        for run in (a_run(0.8, end), *((replace(a_run(0.8, 0), exit_code=None, signal=9),) if end == 137 else ())):
            machine = Rough()
            machine.faults["x"] = lambda run=run: run  # type: ignore[misc]
            result, _ = session(machine, ignore_failure=True, ignored_exits=codes)
            valid = {trial.invalid is None for trial in result.trials if trial.candidate == "x"}
            assert valid == {counts}


def test_a_baseline_that_ends_otherwise_is_advised_which_code_to_add() -> None:
    machine = Rough()
    machine.faults["eevdf"] = lambda: a_run(1.0, 3)
    with pytest.raises(WorkloadError) as raised:
        session(machine, ignore_failure=True, ignored_exits=(1,))
    assert "--ignore-failure=1,3" in raised.value.hint
