# SPDX-License-Identifier: MIT
"""A run that is watched: what is raw of it stays apart from what may be shown, and damage is one error."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import pytest

from autotune.errors import (
    AttachError,
    AutotuneError,
    BuildError,
    Interrupted,
    MachineLost,
    PrivilegeError,
    RunnerLost,
    WorkloadError,
)
from autotune.observe import chrome_trace
from autotune.observe.decode import WatchedTask
from autotune.records import ProbeSpec, RawTasks, Watched, Workload
from autotune.session import observing
from autotune.session.spending import OutOfBudget
from tests.support.scripted_machine import a_run
from tests.support.watched_tasks import a_task, raw

TOKEN = "--token=sk-ant-api03-" + "a" * 95
SEEN = raw([a_task(7, arguments=("make",), end_s=2.0), a_task(8, 7, arguments=("cc", TOKEN))])


@dataclass
class Watching:
    """Runs a command that takes 2 s, while a probe sees what it is told."""

    tasks: RawTasks | BaseException = SEEN
    probes: tuple[ProbeSpec, ...] = ()
    workload: Workload = Workload("make", ("make",), "/")  # noqa: RUF009 - it is frozen

    def watched(self, probe: ProbeSpec) -> Watched:
        self.probes += (probe,)
        if isinstance(self.tasks, BaseException):
            raise self.tasks
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


def shown_of(*tasks: WatchedTask) -> str:
    """Return all that is shown, kept or sent of these tasks."""
    found = observing.watch(Watching(raw(tasks)), probe, 2)
    return repr(found.shown) + repr(found.profile) + chrome_trace.text(found.shown)


def test_the_name_of_a_task_is_redacted_as_its_arguments_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "swordfish-77")

    shown = shown_of(a_task(7), a_task(8, 7, arguments=(), comm="swordfish-77"), a_task(9, 7, comm="swordfish-77"))

    assert "swordfish" not in shown


@pytest.mark.parametrize("cut", [472, 465, 450, 440])
@pytest.mark.parametrize("before", ["", "run it with "])
def test_of_an_argument_that_the_probe_cut_no_part_of_a_secret_is_left(cut: int, before: str) -> None:
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"  # in two, so that nobody takes it for a real one
    words = ["cc", *["-I/home/me/project/"] * 18]
    padding = "x" * (cut - len("\0".join(words)) - len(before) - 2)

    shown = shown_of(a_task(7, arguments=(*words, padding, before + token)))

    assert "ghp_" not in shown
    assert before in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("openssl", "enc", "-k", "hunter2 pass phrase"),
        ("app", "--password", "hunter2 pass phrase", "x"),
        ("curl", "-H", "X-Api-Key: hunter2 pass phrase", "https://example.com/y"),
        ("java", "-Dpassword=hunter2 pass phrase", "x"),
        ("env", "DB_PASSWORD=hunter2 pass phrase", "make"),
        ("sh", "-c", "app --password='hunter2 pass phrase' x"),
        ("sh", "-c", "echo \"it's\"; mysql -u root -p'hunter2 pass phrase' db"),
    ],
)
def test_a_secret_of_several_words_is_redacted_whole_and_the_program_is_still_named(arguments: tuple[str, ...]) -> None:
    found = observing.watch(Watching(raw([a_task(7, arguments=arguments)])), probe, 2)

    assert not {"hunter2", "phrase"} & set(re.split(r"\W+", repr(found.profile)))
    assert found.profile.groups[0].key.startswith(f"{arguments[0]} ")


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


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        (AttachError("tasks.o was refused by the kernel: no BTF"), "tasks.o was refused by the kernel: no BTF"),
        (PrivilegeError("tracing needs root", hint="use sudo"), "tracing needs root (use sudo)"),
        (WorkloadError("the run that was watched failed: exit code 3"), "the run that was watched failed: exit code 3"),
        (RunnerLost("the helper died"), "the helper died"),
        (OutOfBudget("the prepare command"), "the budget ended during the prepare command"),
        (replace(SEEN, ends="AAAA"), "the probe's records are cut short (run again)"),
        (raw(()), "the probe saw no task"),
    ],
)
def test_a_session_goes_on_without_a_look_and_knows_why(ends: Any, why: str) -> None:
    assert observing.attempt(Watching(ends), probe, 2) == why


@pytest.mark.parametrize("ends", [Interrupted("interrupted"), MachineLost("the micro-VM died"), KeyboardInterrupt()])
def test_what_ends_a_session_is_not_swallowed(ends: Any) -> None:
    with pytest.raises(type(ends)):
        observing.attempt(Watching(ends), probe, 2)


def test_a_session_sees_what_observe_sees() -> None:
    assert observing.attempt(Watching(), probe, 2) == observing.watch(Watching(), probe, 2)
