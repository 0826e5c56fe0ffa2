# SPDX-License-Identifier: MIT
"""`--budget` is a promise: whatever hangs, a session ends with it, and says what it waited for.

Commands, the measuring helper, QEMU and compilers are real here; only the clock of how long a test may take at most is
generous. Shown elsewhere: a program that sleeps instead of attaching its scheduler
(tests/unit/schedext/holding/test_progress.py, and in a real kernel tests/vm/test_programs.py), the time of planning
(tests/integration/test_failing_service.py), and services that do not answer (tests/faults/test_service.py,
tests/unit/planner/claude/test_service.py).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autotune.config import Settings
from autotune.deadline import Deadline
from autotune.errors import AttachError, AutotuneError, BuildError, MachineLost, WorkloadError
from autotune.events import Event, Problem, RunStarted
from autotune.machine import select
from autotune.machine.base import Place
from autotune.machine.select import MachineChoice
from autotune.machine.vm import kernels, microvm
from autotune.machine.vm.account import Account
from autotune.machine.vm.kvm import KvmResults
from autotune.machine.vm.microvm import VmOptions
from autotune.machine.vm.resilient import ResilientVM
from autotune.observe import client
from autotune.records import (
    AttachSpec,
    Candidate,
    Identity,
    KernelState,
    ProbeSpec,
    ProgramSpec,
    Proposal,
    RunSpec,
    Session,
    Workload,
)
from autotune.schedext import build
from autotune.schedext.holding import attached, progress
from autotune.schedext.resolve import CatalogResolver
from autotune.session import limits, preflight, start
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.request import SessionRequest
from autotune.session.tuner import tune
from tests.support.list_planner import ListPlanner
from tests.support.list_planner import resolve as attaching
from tests.support.real_runs import RealRuns
from tests.support.scripted_engine import FIFO, ScriptedEngine
from tests.support.scripted_machine import ScriptedMachine

pytestmark = pytest.mark.slow

VERY_LATE_S = 60.0
"""Keeps a test that hangs from hanging for ever; what is asked for is a second or two."""
FOR_EVER = "sleep 600"
OBSTINATE = "trap '' TERM; sleep 600"
"""Ignores SIGTERM, and so does what it starts."""


@pytest.fixture(autouse=True)
def _in_a_vm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "decide", lambda _kind: MachineChoice("vm", "a test"))
    monkeypatch.setattr(preflight, "LEAST_BOOT_S", 0.0)  # the machine of these tests has no boot


@pytest.fixture
def machine() -> Iterator[RealRuns]:
    made = RealRuns()
    yield made
    made.close()


class Room:
    """Sessions in one directory, whose events are kept."""

    def __init__(self, machine: ScriptedMachine, directory: Path) -> None:
        self.machine, self.directory = machine, directory
        self.heard: list[Event] = []

    def run(self, command: str, *, budget_s: float, approve: Any = None, **workload: Any) -> Session:
        argv = ("sh", "-c", command)
        work = Workload(command, argv, str(self.directory), {"PATH": os.environ["PATH"]}, **workload)
        settings = Settings(seed=3, planner="offline", budget=budget_s, warmup=0, min_runs=2, max_runs=2)
        asked = SessionRequest(work, settings, candidates=(FIFO,), approve=approve)
        began = time.monotonic()
        try:
            return start.run(asked, self.heard.append, ScriptedEngine(self.machine))
        finally:
            assert time.monotonic() - began < VERY_LATE_S, "the budget was not kept"


@pytest.fixture
def place(machine: RealRuns, tmp_path: Path) -> Room:
    return Room(machine, tmp_path)


def from_the_nth_time(number: int, then: str) -> str:
    """A command that counts its runs in a file of its directory, and does something else from the nth on."""
    return f'echo >> count; [ "$(wc -l < count)" -lt {number} ] || {{ {then}; }}'


# --- before the baseline is known -----------------------------------------------------------------------


@pytest.mark.parametrize("command", [FOR_EVER, OBSTINATE, "while :; do :; done"], ids=["sleeps", "ignores", "spins"])
def test_a_baseline_that_never_ends_is_an_error_that_names_the_budget(place: Room, command: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        place.run(command, budget_s=1.0)
    assert caught.value.message == "the command did not end within the budget of 1s"
    assert caught.value.hint == "give a larger --budget; a verdict takes at least 9 runs"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("command", [FOR_EVER, OBSTINATE], ids=["sleeps", "ignores"])
@pytest.mark.parametrize("what", ["setup", "prepare"])
def test_a_setup_or_prepare_that_never_ends_is_an_error_that_names_the_budget(
    place: Room, what: str, command: str
) -> None:
    with pytest.raises(WorkloadError) as caught:
        place.run("true", budget_s=1.0, **{what: command})
    assert caught.value.message == f"the {what} command did not end within the budget of 1s"


def test_a_baseline_that_the_budget_has_no_room_for_is_an_error_and_no_run_begins_after_the_end(
    place: Room,
) -> None:
    with pytest.raises(WorkloadError, match="within the budget of 500ms"):
        place.run("sleep 0.4", budget_s=0.5, prepare="sleep 0.4")


# --- once it is known -----------------------------------------------------------------------------------


def test_a_candidate_s_run_that_never_ends_ends_with_the_budget_and_the_session_is_kept(place: Room) -> None:
    session = place.run(from_the_nth_time(5, OBSTINATE), budget_s=4.0)
    assert session.failure is None
    assert session.baseline is not None
    assert "the budget ended during the command, which does not count" in session.warnings
    assert not any("timed out" in (trial.invalid or "") for trial in session.trials), "the candidate is not to blame"
    assert place.machine.attached is None


def test_a_prepare_that_hangs_later_ends_with_the_budget_and_the_session_is_kept(place: Room) -> None:
    session = place.run("true", budget_s=4.0, prepare=from_the_nth_time(5, FOR_EVER))
    assert session.failure is None
    assert session.baseline is not None
    assert "the budget ended during the prepare command, which does not count" in session.warnings


def test_a_cleanup_that_never_ends_is_ended_and_the_session_is_kept(
    place: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CLEANUP_S", 0.5)
    session = place.run("true", budget_s=4.0, cleanup=FOR_EVER)
    assert session.baseline is not None
    ((_, error),) = [(one.what, one.error) for one in place.heard if isinstance(one, Problem)]
    assert "the cleanup command failed: timed out after" in error.message


@pytest.mark.parametrize("late", [True, False])
def test_a_machine_that_is_lost_when_the_budget_is_over_ends_the_session_as_the_budget_does(late: bool) -> None:
    """Its last answer was waited for no longer than the budget allowed."""
    now_s = 0.0

    class Losing(ScriptedMachine):
        def attach(self, spec: Any) -> Any:
            nonlocal now_s
            del spec
            now_s += 600.0 if late else 0.0
            raise MachineLost("the micro-VM is lost, no answer to 'attach' within 15 s")

    machine, work = Losing({"eevdf": 1.0}), Workload("true", ("true",), "/")
    budget = Deadline(300.0, lambda: now_s)
    options = SessionOptions(seed=3, budget_s=300.0)
    planner = ListPlanner([["x"]])
    done = tune(work, SessionParts(machine, planner, lambda _: None, attaching, lambda: now_s, budget), options)
    assert done.baseline is not None
    said = "the micro-VM is lost, no answer to 'attach' within 15 s"
    assert (done.failure, f"the budget is used up, and {said}" in done.warnings) == (None if late else said, late)


def test_a_command_that_began_in_time_may_take_its_usual_time(place: Room) -> None:
    """The last runs of a budget are not lost because they end a little after it."""
    session = place.run("sleep 0.5", budget_s=5.0)
    assert not any("which does not count" in warning for warning in session.warnings)


# --- a limit of its own ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (FOR_EVER, "timed out after 0.5 s"),
        (OBSTINATE, "timed out after 0.5 s: it ignored SIGTERM and was killed"),
        ("trap 'sleep 1; exit 0' TERM; sleep 600 & wait", "timed out after 0.5 s"),
    ],
    ids=["ends at once", "ignores SIGTERM", "takes its time"],
)
def test_a_timeout_names_the_limit_that_was_given_and_how_the_command_was_ended(
    place: Room, command: str, said: str
) -> None:
    with pytest.raises(WorkloadError) as caught:
        place.run(command, budget_s=60.0, timeout_s=0.5)
    assert caught.value.message == f"the workload cannot be measured: {said}"
    assert caught.value.hint == "give it more time with --timeout"


def test_a_prepare_that_meets_the_timeout_is_named_with_it(place: Room) -> None:
    with pytest.raises(WorkloadError, match=r"^the prepare command failed: timed out after 0\.5 s \(try it"):
        place.run("true", budget_s=60.0, timeout_s=0.5, prepare=FOR_EVER)


# --- people ---------------------------------------------------------------------------------------------


def test_waiting_for_a_person_does_not_count_against_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited_s = 0.0
    monkeypatch.setattr(start, "Deadline", partial(Deadline, clock=lambda: time.monotonic() + waited_s))
    place = Room(ScriptedMachine({"eevdf": 0.001, "at_fifo": 0.0005}), tmp_path)

    def approve(candidate: Candidate, proposal: Proposal, *, editable: bool) -> Candidate:
        nonlocal waited_s
        del proposal, editable
        waited_s += 1000.0  # longer than the budget
        return candidate

    session = place.run("true", budget_s=300.0, approve=approve)
    assert waited_s
    assert session.winner == "at_fifo"
    assert session.elapsed_s < 300.0


def test_a_pause_of_the_clock_ends_with_the_question_also_when_that_fails() -> None:
    now_s = 0.0
    deadline = Deadline(10.0, lambda: now_s)
    pause = deadline.paused()
    pause.__enter__()
    now_s = 100.0
    assert pause.__exit__(KeyError, KeyError(), None) in (None, False)
    now_s = 103.0
    assert (deadline.spent_s(), deadline.left_s(), deadline.is_over) == (3.0, 7.0, False)
    assert (deadline.bound(5.0), deadline.bound(9.0), deadline.bound()) == (5.0, 7.0, 7.0)
    now_s = 200.0
    assert (deadline.bound(5.0), deadline.bound(5.0, least_s=2.0), deadline.is_over) == (0.0, 2.0, True)


# --- what a session waits for besides ----------------------------------------------------------------------


def test_a_program_that_sleeps_instead_of_attaching_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real program behind its fence; 150 s was waited for it."""
    if os.geteuid() != 0:
        pytest.skip("starting a scheduler's program needs root")
    monkeypatch.setattr(progress, "IDLE_S", 1.5)
    found = os.stat("/bin/sleep")
    program = attached.AttachedProgram("nothing", ProgramSpec(("/bin/sleep", "600"), found.st_size, found.st_mtime_ns))
    began = time.monotonic()
    try:
        with pytest.raises(AttachError, match=r"^sleep was not attached, and did nothing for 1.5 s"):
            program.attach(KernelState("disabled", None, 0, 0, None))
    finally:
        program.close()
    assert time.monotonic() - began < VERY_LATE_S
    assert program.program.ended()


def test_a_program_gets_no_more_time_to_attach_than_is_left(tmp_path: Path) -> None:
    seen: list[float] = []

    class Machine(ScriptedMachine):
        def attach(self, spec: Any) -> Any:
            seen.append(spec.program.start_s)
            return super().attach(spec)

    class Engine(ScriptedEngine):
        def resolver(self, *_given: Any) -> Any:
            program = ProgramSpec(("/bin/true",), 0, 0)
            return lambda candidate: AttachSpec(candidate.scheduler, program=program)

    work = Workload("true", ("true",), str(tmp_path))
    settings = Settings(seed=3, planner="offline", budget=20.0)
    engine = Engine(Machine({"eevdf": 1.0, "at_fifo": 0.8}))
    start.run(SessionRequest(work, settings, candidates=(FIFO,)), lambda _event: None, engine)
    assert seen
    assert all(0.0 < start_s <= 20.0 for start_s in seen)


def test_a_probe_that_never_answers_is_given_up_with_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "probe.py"
    silent.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(client, "program_as_root", lambda *_given: [sys.executable, str(silent)])
    monkeypatch.setattr(client, "LEAST_ANSWER_S", 0.1)
    spec = ProbeSpec(str(tmp_path / "tasks.o"), "0" * 64)
    began = time.monotonic()
    with (
        pytest.raises(AutotuneError, match=r"the probe failed: no answer to 'begin' within 0\.[1-5] s"),
        client.ProbeClient(spec, os.getpid(), libbpf=None, guarded=False, deadline=Deadline(0.5)),
    ):
        pytest.fail("it began")
    assert time.monotonic() - began < VERY_LATE_S


def test_a_compiler_that_never_ends_is_ended_with_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clang = tmp_path / "clang-19"
    clang.write_text("#!/bin/sh\nexec sleep 600\n")
    clang.chmod(0o755)
    headers = tmp_path / "linux/bpf/vmlinux.h"
    headers.parent.mkdir(parents=True)
    headers.write_text("")
    monkeypatch.setattr(build, "newest_clang", lambda: build.Clang(str(clang), "19"))
    resolve = CatalogResolver(str(tmp_path), objects=tmp_path / "objects", deadline=Deadline(1.0))
    began = time.monotonic()
    with pytest.raises(BuildError, match=r"the compiler took over .* s") as caught:
        resolve(FIFO)
    assert caught.value.hint == "give a larger --budget"
    assert time.monotonic() - began < VERY_LATE_S


@pytest.mark.parametrize("has_kvm", [False, True], ids=["emulated", "with KVM first"])
def test_a_boot_that_never_ends_is_given_up_with_the_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_kvm: bool
) -> None:
    """In place of QEMU something runs that never answers."""
    started: list[str] = []

    def argv(_kernel: Any, _options: Any, acceleration: str, *_rest: Any) -> list[str]:
        started.append(acceleration)
        return ["sleep", "600"]

    monkeypatch.setattr(microvm, "choose", lambda *_given, **_more: Account(kvm=has_kvm))
    monkeypatch.setattr(microvm, "find_setpriv", lambda: "/bin/false")
    monkeypatch.setattr(microvm, "qemu_argv", argv)
    monkeypatch.setattr(microvm, "qemu_program", lambda _kernel: ["/bin/sleep"])
    monkeypatch.setattr(microvm.MicroVM, "_write_initrd", lambda _self, _kernel: tmp_path)
    results = KvmResults(tmp_path / "kvm.json")
    kernel = kernels.Kernel("6.18", tmp_path, tmp_path, "given")
    place = Place("/", False, Identity(0, 0))
    with pytest.raises(MachineLost) as caught:
        microvm.boot(kernel, place, VmOptions(1, 1 << 28), "", kvm_results=results, deadline=Deadline(1.5))
    assert caught.value.message == "the micro-VM did not boot within the budget"
    assert caught.value.hint == "give a larger --budget"
    assert started == (["kvm", "tcg"] if has_kvm else ["tcg"])
    assert results.recall("6.18", "/bin/sleep") is None, "so short a try shows nothing about KVM"


@pytest.mark.vm
def test_qemu_that_is_stopped_in_the_first_baseline_is_lost_with_the_budget_and_no_other_is_booted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(microvm, "ENDING_S", 2.0)
    deadline = Deadline(1e6)
    place = Place("/", False, Identity(0, 0, (0,)))
    kernel = kernels.find(None)
    boots: list[str] = []

    def boot() -> microvm.MicroVM:
        boots.append("one")
        return microvm.boot(kernel, place, VmOptions(2, 1 << 30), "a test", deadline=deadline)

    machine = ResilientVM(boot, print, deadline)
    try:
        assert machine._vm._worker is not None
        os.kill(machine._vm._worker.process.pid, signal.SIGSTOP)
        deadline.budget_s = deadline.spent_s() + 2.0
        spec = RunSpec(("sleep", "600"), "/", {"PATH": os.environ["PATH"]}, timeout_s=deadline.bound())
        began = time.monotonic()
        with pytest.raises(AutotuneError) as caught:
            machine.measure(spec, None)
        assert isinstance(caught.value, MachineLost)
        assert time.monotonic() - began < VERY_LATE_S
        assert boots == ["one"]
    finally:
        machine.close()


def test_every_run_of_a_session_has_a_limit(place: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kind, not the example: no command is started without one, before the baseline is known or after."""
    seen: list[float | None] = []
    of = limits.Limits.of

    def noted(self: limits.Limits, what: str) -> float | None:
        seen.append(of(self, what))
        return seen[-1]

    monkeypatch.setattr(limits.Limits, "of", noted)
    place.run("true", budget_s=5.0, setup="true", prepare="true", cleanup="true")
    runs = [event for event in place.heard if isinstance(event, RunStarted)]
    assert len(seen) >= 2 * len(runs) + 2
    assert all(limit_s is not None and limit_s <= 30.0 for limit_s in seen)
