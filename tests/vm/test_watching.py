# SPDX-License-Identifier: MIT
"""The probe in a real kernel: what it sees of tasks is what they did, and nothing of it stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autotune import resources
from autotune.errors import AttachError, AutotuneError
from autotune.machine.vm.kernels import Kernel
from autotune.machine.vm.resilient import ResilientVM
from autotune.observe.bound import bound
from autotune.observe.decode import TasksSeen, WatchedTask, decode
from autotune.observe.expectations import expect
from autotune.records import AttachSpec, Expectations, GuideSpec, ProbeSpec, Run
from autotune.schedext.build import build
from tests.support.guest import guest_json
from tests.support.run_specs import python, shell

pytestmark = [pytest.mark.vm, pytest.mark.slow]


@pytest.fixture(scope="module")
def probe(kernel: Kernel) -> ProbeSpec:
    made = build(resources.bpf_source_dir() / "probes" / "tasks.bpf.c", headers=kernel.headers)
    return ProbeSpec(str(made.object_path), made.sha256)


def watched(vm: ResilientVM, probe: ProbeSpec, command: str) -> tuple[TasksSeen, Run]:
    seen = vm.watch(shell(command, timeout_s=300.0), probe)
    assert seen.run.exit_code == 0, seen.run.stderr
    return decode(seen.tasks), seen.run


def by_name(seen: TasksSeen, name: str) -> list[WatchedTask]:
    return [task for task in seen.tasks if task.arguments[:1] == (name,)]


def test_each_task_comes_with_its_program_parent_and_times(vm: ResilientVM, probe: ProbeSpec) -> None:
    seen, run = watched(vm, probe, "seq 1 200000 | sort -r | tail -1 & gzip -c /bin/sh >/dev/null & wait; sleep 0.3")

    shell_task = by_name(seen, "sh")[0]
    names = {task.arguments for task in seen.tasks if task.executed}
    assert {
        ("seq", "1", "200000"),
        ("sort", "-r"),
        ("tail", "-1"),
        ("gzip", "-c", "/bin/sh"),
        ("sleep", "0.3"),
    } <= names
    (sleeper,) = by_name(seen, "sleep")
    assert sleeper.parent == shell_task.pid
    assert 0.25 <= sleeper.sleep_s <= sleeper.end_s - sleeper.start_s
    assert sum(task.cpu_s for task in seen.tasks) == pytest.approx(run.user_s + run.system_s, rel=0.15, abs=0.1)
    assert max(task.end_s for task in seen.tasks) <= run.wall_s + 1.0
    for task in seen.tasks:  # what it ran, waited and slept is its life
        assert task.cpu_s + task.wait_s + task.sleep_s == pytest.approx(task.end_s - task.start_s, rel=0.05, abs=0.05)
    assert (seen.lost_tasks, seen.lost_turns) == (0, 0)


def test_who_waits_for_a_child_is_woken_by_it_and_a_sleeper_by_the_kernel(vm: ResilientVM, probe: ProbeSpec) -> None:
    seen, _ = watched(vm, probe, "sh -c 'sleep 0.2' & wait; sleep 0.3; :")

    outer = by_name(seen, "sh")[0]
    children = {task.pid for task in seen.tasks if task.parent == outer.pid}
    waits = [turn for turn in seen.turns if turn.pid == outer.pid and turn.slept_s > 0.15]
    assert waits
    assert {turn.waker for turn in waits} <= children
    sleepers = {task.pid for task in by_name(seen, "sleep")}
    assert 0 in {turn.waker for turn in seen.turns if turn.pid in sleepers and turn.slept_s > 0.15}


def test_the_bound_is_below_what_the_run_took(vm: ResilientVM, probe: ProbeSpec) -> None:
    seen, run = watched(vm, probe, "for n in 1 2 3; do gzip -9 -c /bin/bash >/dev/null & done; wait")

    found = bound(seen, 2)

    assert 0.0 < found.chain_s <= found.share_s * 2
    assert found.least_s <= run.wall_s
    assert sum(task.wait_s for task in seen.tasks) > 0.1  # three on two CPUs
    assert sum(seen.waits.values()) > 0


def test_threads_programs_that_execute_others_and_long_command_lines(vm: ResilientVM, probe: ProbeSpec) -> None:
    code = (
        "import os, sys, threading\n"
        "one = threading.Thread(target=lambda: sum(range(300000))); one.start(); one.join()\n"
        "left = int(sys.argv[1])\n"
        "os.execv(sys.executable, [sys.executable, '-S', '-E', '-c', sys.argv[2], str(left - 1), sys.argv[2]])"
        " if left else os.execv('/bin/true', ['true', 'x' * 100000])\n"
    )
    first = python(code)
    argv = (*first.argv, "8", code)
    seen = vm.watch(replace(first, argv=argv, timeout_s=300.0), probe)
    tasks = decode(seen.tasks).tasks

    last = next(task for task in tasks if task.arguments[:1] == ("true",))
    assert seen.run.exit_code == 0
    assert len(last.arguments[1]) < 500  # cut
    assert len([task for task in tasks if task.is_thread and task.tgid == last.pid]) == 9


def test_thousands_of_short_tasks_are_all_there(vm: ResilientVM, probe: ProbeSpec) -> None:
    seen, _ = watched(vm, probe, "n=0; while [ $n -lt 1500 ]; do (:); n=$((n+1)); done")

    assert len(seen.tasks) >= 1500
    assert seen.lost_tasks == 0


def test_a_command_that_cannot_be_started_is_a_run_that_says_so(vm: ResilientVM, probe: ProbeSpec) -> None:
    seen = vm.watch(shell("exit 3"), probe)

    assert seen.run.exit_code == 3
    assert [task.arguments[:1] for task in decode(seen.tasks).tasks if task.executed] == [("sh",)]


def test_another_object_than_the_one_that_was_named_is_refused(vm: ResilientVM, probe: ProbeSpec) -> None:
    with pytest.raises(AttachError, match="is not the object that was checked"):
        vm.watch(shell("true"), ProbeSpec(probe.object_path, "0" * 64))

    assert vm.run(shell("true")).exit_code == 0


def test_a_probe_that_is_killed_is_an_error_and_the_next_one_works(vm: ResilientVM, probe: ProbeSpec) -> None:
    with pytest.raises(AutotuneError, match="the probe failed"):
        vm.watch(shell("pkill -KILL -f observe/probe.py; sleep 0.1"), probe)

    assert watched(vm, probe, "true")[0].tasks


def test_nothing_of_it_stays(vm: ResilientVM, probe: ProbeSpec) -> None:
    watched(vm, probe, "true")

    left = vm.run(shell("pgrep -f '[o]bserve/probe.py'; ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c 'bpf[-_]'"))
    assert left.stdout.head.split() == ["0"]


JOBS = "work() { i=0; while [ $i -lt $1 ]; do i=$((i+1)); done; }; work $1; : $2"  # $1: how much; $2: another argument


def jobs(*amounts_and_words: str) -> str:
    """A batch that starts all its jobs at once, each a shell of its own with these arguments."""
    each = " ".join(f"sh -c '{JOBS}' job {words} & " for words in amounts_and_words)
    return f"{each} wait"


def test_a_task_has_the_same_numbers_in_the_next_run(vm: ResilientVM, probe: ProbeSpec) -> None:
    command = (
        "seq 100 >/dev/null; seq 200 >/dev/null; d=$(mktemp -d); seq 300 >$d/out; wc -l $d/out; rm -r $d; (:); (:)"
    )

    first, second = ({task.identity for task in watched(vm, probe, command)[0].tasks if task.arguments} for _ in "12")

    assert first == second
    assert len(first) >= 8  # two sequences with other arguments, and two forks without any program, are not the same


def test_of_a_path_the_last_two_names_count(vm: ResilientVM, probe: ProbeSpec) -> None:
    command = (
        "cd /tmp; mkdir -p a/b c/b w/tmp; for d in a c; do echo >$d/b/f; sort $d/b/f; sort /tmp/$d/b/f; done; "
        "echo >w/tmp/f; echo >w/tmp/g; sort w/tmp/f; sort w/tmp/g; rm -r a c w"
    )
    sorts = [task.identity.program for task in by_name(watched(vm, probe, command)[0], "sort")]

    assert len(sorts) == 6
    assert sorts[0] == sorts[2]  # a/b/f and c/b/f
    assert sorts[1] == sorts[3]  # of a directory for temporary files nothing counts
    assert len({sorts[0], sorts[1], sorts[4], sorts[5]}) == 4  # a `tmp` of one's own counts


def test_a_program_whose_arguments_cannot_be_read_has_no_number(vm: ResilientVM, kernel: Kernel) -> None:
    source = Path(__file__).parents[1] / "bpf" / "identity_at_fork.bpf.c"
    made = build(source, headers=kernel.headers)

    before, after = guest_json(vm, "identity.py", str(kernel.libbpf or "libbpf.so.1"), str(made.object_path))

    assert all(before)
    assert after == [0, 0]  # nor that of the program before


def prepared(vm: ResilientVM, kernel: Kernel, probe: ProbeSpec, command: str) -> AttachSpec:
    """Return how to attach at_guided with what a run of this command lets it expect."""
    sources = resources.bpf_source_dir()
    scheduler = build(sources / "at_guided.bpf.c", headers=kernel.headers)
    guide = build(sources / "probes" / "guide.bpf.c", headers=kernel.headers)
    expected = expect(watched(vm, probe, command)[0])
    return AttachSpec(
        "at_guided", str(scheduler.object_path), guide=GuideSpec(str(guide.object_path), guide.sha256, expected)
    )


BATCH = jobs(*(f"4000 short{number}" for number in range(8)), "40000 long")
POOL = "for n in 4000 4000 4000 4000 4000 4000 40000; do (i=0; while [ $i -lt $n ]; do i=$((i+1)); done) & done; wait"
"""Workers that execute nothing: all have the same program, and differ by their order alone."""


@pytest.fixture(scope="module")
def guided(vm: ResilientVM, kernel: Kernel, probe: ProbeSpec) -> AttachSpec:
    return prepared(vm, kernel, probe, BATCH)


RUNS = 3
"""Runs of which one has to show what a scheduler does: anything else on the machine delays the longest job too."""


def waiting_share(seen: TasksSeen) -> float:
    """Return how much of its life the longest job waited for a CPU."""
    longest = max(seen.tasks, key=lambda task: task.cpu_s)
    return longest.wait_s / (longest.end_s - longest.start_s)


def under(vm: ResilientVM, spec: AttachSpec, probe: ProbeSpec, command: str) -> TasksSeen:
    """Watch a command while a scheduler is attached that is not ejected."""
    vm.attach(spec)
    try:
        seen = watched(vm, probe, command)[0]
    finally:
        detached = vm.detach()
    assert detached.exit is not None
    assert detached.exit.reason == "unregistered from user space"
    return seen


def test_the_long_job_of_a_batch_hardly_waits_when_it_is_expected(
    vm: ResilientVM, probe: ProbeSpec, guided: AttachSpec
) -> None:
    plain = waiting_share(watched(vm, probe, BATCH)[0])

    assert any(waiting_share(under(vm, guided, probe, BATCH)) < plain / 2 for _ in range(RUNS))


def test_the_long_worker_of_a_pool_is_known_by_its_order(vm: ResilientVM, kernel: Kernel, probe: ProbeSpec) -> None:
    spec = prepared(vm, kernel, probe, POOL)
    assert spec.guide is not None
    assert len(spec.guide.expectations.by_order) >= 7
    plain = waiting_share(watched(vm, probe, POOL)[0])

    assert any(waiting_share(under(vm, spec, probe, POOL)) < plain / 2 for _ in range(RUNS))


def test_a_guide_with_impossible_expectations_is_refused_and_nothing_is_attached(
    vm: ResilientVM, guided: AttachSpec
) -> None:
    assert guided.guide is not None
    for chains_ns in ({"no number": 1}, {str(1 << 64): 1}, {"7": -1}, {"7": 1 << 63}):
        wrong = replace(guided, guide=replace(guided.guide, expectations=Expectations(chains_ns, 1)))
        with pytest.raises(AttachError, match="is no "):
            vm.attach(wrong)
        assert vm.state().state == "disabled"


def test_without_a_guide_it_schedules_what_it_knows_nothing_of(
    vm: ResilientVM, probe: ProbeSpec, guided: AttachSpec
) -> None:
    assert under(vm, replace(guided, guide=None), probe, BATCH).tasks


def test_the_source_is_where_an_installed_package_has_it() -> None:
    assert Path(resources.bpf_source_dir() / "probes" / "tasks.bpf.c").is_file()
