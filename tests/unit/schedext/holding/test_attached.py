# SPDX-License-Identifier: MIT
"""What an attached object says of its own end, and who is believed."""

from __future__ import annotations

from typing import Any

import pytest

from autotune.records import AttachSpec, SchedulerExit
from autotune.schedext.holding import attached
from autotune.schedext.holding.attached import AttachedObject

OWN = SchedulerExit(65, 7, "a reason", "SECRET_TOKEN=swordfish")


class Object:
    """An object that keeps an exit record of its own making."""

    def ops_name(self) -> str:
        return "mine"

    def exit_record(self) -> SchedulerExit | None:
        return OWN

    def close(self) -> None: ...


class Log:
    """A kernel's log that holds what the kernel prints of such an end."""

    def read(self) -> list[str]:
        return ['sched_ext: BPF scheduler "mine" disabled (unregistered from BPF)', f"sched_ext: mine: {OWN.message}"]

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("generated", "found"), [(False, OWN), (True, SchedulerExit(65, 0, "unregistered from BPF", ""))]
)
def test_a_generated_one_tells_nothing_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, generated: bool, found: SchedulerExit
) -> None:
    monkeypatch.setattr(attached, "KernelLog", Log)
    scheduler: Any = AttachedObject(AttachSpec("mine", "mine.o", generated=generated), Object())  # type: ignore[arg-type]
    assert scheduler.exit_record() == found
