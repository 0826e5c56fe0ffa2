# SPDX-License-Identifier: MIT
"""A run that is watched: what is raw of it stays apart from what may be shown, and damage is one error."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from autotune.errors import AutotuneError, BuildError
from autotune.records import ProbeSpec, RawTasks, Watched, Workload
from autotune.session import observing
from tests.support.scripted_machine import a_run
from tests.support.watched_tasks import a_task, raw

TOKEN = "--token=sk-ant-api03-" + "a" * 95
SEEN = raw([a_task(7, arguments=("make",), end_s=2.0), a_task(8, 7, arguments=("cc", TOKEN))])


@dataclass
class Watching:
    """Runs a command that takes 2 s, while a probe sees what it is told."""

    tasks: RawTasks = SEEN
    probes: tuple[ProbeSpec, ...] = ()
    workload: Workload = Workload("make", ("make",), "/")  # noqa: RUF009 - it is frozen

    def watched(self, probe: ProbeSpec) -> Watched:
        self.probes += (probe,)
        return Watched(a_run(2.0), self.tasks)


def probe() -> ProbeSpec:
    return ProbeSpec("tasks.o", "0" * 64)


def test_what_was_seen_is_kept_raw_and_what_may_be_shown_is_redacted() -> None:
    found = observing.watch(Watching(), probe, 2)

    assert TOKEN in found.seen.tasks[1].arguments
    assert "sk-ant" not in repr(found.shown)
    assert "sk-ant" not in repr(found.profile)
    assert [task.pid for task in found.shown.tasks] == [task.pid for task in found.seen.tasks]


def test_arguments_without_secrets_stay_as_they_are() -> None:
    assert observing.watch(Watching(), probe, 2).shown.tasks[0].arguments == ("make",)


def test_the_profile_is_of_this_machine_and_run() -> None:
    found = observing.watch(Watching(), probe, 3)

    assert (found.profile.cpus, found.profile.wall_s, found.profile.tasks) == (3, 2.0, 2)


def test_without_a_probe_nothing_runs() -> None:
    def missing() -> ProbeSpec:
        raise BuildError("no clang")

    watching = Watching()
    with pytest.raises(BuildError):
        observing.watch(watching, missing, 2)
    assert watching.probes == ()


def test_damaged_records_are_an_error_of_ours() -> None:
    with pytest.raises(AutotuneError, match="records are cut short"):
        observing.watch(Watching(replace(SEEN, ends="AAAA")), probe, 2)
