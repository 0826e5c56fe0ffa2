# SPDX-License-Identifier: MIT
"""Hand-made records for tests: plausible defaults, of which each test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from autotune import events
from autotune.planner.base import Situation
from autotune.records import (
    BASELINE,
    Allotment,
    Attachment,
    Baseline,
    Candidate,
    CandidateResult,
    ChainLink,
    Detachment,
    Evidence,
    Interval,
    KernelState,
    MachineInfo,
    Observation,
    Output,
    Phase,
    Profile,
    ProfileSlot,
    Proposal,
    Run,
    SchedulerExit,
    Session,
    Spending,
    TaskGroup,
    Trial,
    Verdict,
    Workload,
)
from autotune.report.json_document import SCHEMA_VERSION

OFF = KernelState(state="disabled", ops=None, enable_seq=3, nr_rejected=0, switch_all=None)
BATCH = Candidate("at_batch", (("slice_us", 20000), ("stay", True)))
FIFO = Candidate("at_fifo", (("slice_us", 5000),))
VTIME = Candidate("at_vtime")
INTERACTIVE = Candidate("at_interactive", (("slice_us", 2000),))


def machine(**changed: Any) -> MachineInfo:
    """A micro-VM under emulation."""
    info = MachineInfo(
        kind="vm",
        why="this host's kernel has no sched_ext, and KVM does not boot here",
        kernel="6.18.15+deb13-amd64",
        cpus=2,
        memory_bytes=4 << 30,
        cpu_model="QEMU TCG CPU version 2.5+",
        acceleration="tcg",
    )
    return replace(info, **changed)


def profile(**changed: Any) -> Profile:
    """A build of two files on two CPUs whose linker comes last."""
    cc = TaskGroup("cc -c a.c", 2, 3.0, 2.0, 0.2, 0.1, 0.05, 2.1, 3, 9)
    ld = TaskGroup("ld a.o", 1, 0.3, 0.3, 0.0, 0.0, 2.1, 2.4, 0, 1)
    basis = Profile(
        wall_s=2.4,
        cpus=2,
        tasks=3,
        work_s=3.3,
        chain_s=0.3,
        chain=(ChainLink("ld a.o", 0.3, 2.1, 2.4),),
        least_s=1.65,
        possible=0.3125,
        serial_s=0.3,
        wait_s=0.2,
        migrations=3,
        groups=(cc, ld),
        slots=tuple(ProfileSlot(1.5 if number < 50 else 1.0, 0.2) for number in range(60)),
        waits={"20": 7},
    )
    return replace(basis, **changed)


def workload(**changed: Any) -> Workload:
    """`make -j8` given as one string."""
    command = changed.pop("command", "make -j8")
    basis = Workload(command=command, argv=("sh", "-c", command), cwd="/home/me/project", env={"PATH": "/usr/bin"})
    return replace(basis, **changed)


def run(**changed: Any) -> Run:
    """A run of 2.4 s that exited with 0."""
    nothing = Output(head="", tail="", total_bytes=0, omitted_bytes=0)
    basis = Run(
        wall_s=2.41,
        user_s=4.1,
        system_s=0.4,
        max_rss_bytes=52 << 20,
        voluntary_switches=410,
        involuntary_switches=133,
        minor_faults=9100,
        major_faults=0,
        exit_code=0,
        signal=None,
        timed_out=False,
        stdout=nothing,
        stderr=nothing,
    )
    return replace(basis, **changed)


def attached_state(ops: str) -> KernelState:
    """The kernel while a scheduler is attached."""
    return KernelState(state="enabled", ops=ops, enable_seq=4, nr_rejected=0, switch_all=True)


def trial(candidate: str = BASELINE, phase: Phase = "race", round: int = 1, **changed: Any) -> Trial:
    """A valid trial whose value is its wall time."""
    measured = changed.pop("run", run())
    ops = None if candidate == BASELINE else candidate.partition(":")[0]
    state = OFF if ops is None else attached_state(ops)
    basis = Trial(
        phase=phase,
        round=round,
        candidate=candidate,
        started_at=1_790_000_000.0,
        run=measured,
        evidence=Evidence(expected_ops=ops, before=state, after=state),
        value=measured.wall_s,
    )
    return replace(basis, **changed)


def interval(estimate: float, low: float, high: float) -> Interval:
    """A 95 % interval."""
    return Interval(estimate, low, high, 0.95)


def result(candidate: Candidate, verdict: Verdict | None, **changed: Any) -> CandidateResult:
    """The outcome of a candidate after seven valid runs."""
    basis = CandidateResult(
        candidate=candidate,
        reason="",
        verdict=verdict,
        speedup=None,
        median=2.4,
        runs=7,
        invalid_runs=0,
        confirmed=False,
    )
    return replace(basis, **changed)


def results() -> tuple[CandidateResult, ...]:
    """A whole ranking: winner, baseline, one undecided, one slower, one ejected."""
    return (
        result(
            BATCH,
            "faster",
            median=2.221,
            baseline_median=2.408,
            speedup=interval(1.084, 1.051, 1.118),
            runs=12,
            confirmed=True,
            reason="The command keeps both CPUs busy and rarely sleeps.",
        ),
        result(Candidate(BASELINE), None, median=2.408, runs=12),
        result(FIFO, "undecided", median=2.379, baseline_median=2.408, speedup=interval(1.012, 0.983, 1.042), runs=4),
        result(
            INTERACTIVE,
            "slower",
            median=2.731,
            baseline_median=2.408,
            speedup=interval(0.882, 0.851, 0.914),
            runs=3,
            note="11.8 % slower than eevdf after 3 rounds",
        ),
        result(VTIME, "invalid", median=None, runs=0, invalid_runs=2, note="ejected: runnable task stall"),
    )


BASE = Baseline(median=2.408, runs=5, noise=0.011, detectable=0.021)
OBSERVED = Observation(
    wall_s=2.41,
    cpu_utilisation=0.94,
    parallelism=1.87,
    run_wait_share=0.6,
    pressure_cpu_share=0.71,
    pressure_io_share=0.01,
    context_switches_per_s=812.0,
    involuntary_share=0.24,
    forks_per_s=37.0,
    cpus=2,
)


def session(**changed: Any) -> Session:
    """A finished session with a winner."""
    basis = Session(
        schema=SCHEMA_VERSION,
        autotune_version="0.1.0",
        started_at=1_790_000_000.0,
        elapsed_s=161.2,
        machine=machine(),
        workload=workload(),
        seed=7,
        planner="offline",
        metric="wall_s",
        baseline=BASE,
        observation=OBSERVED,
        results=results(),
        winner=BATCH.key,
        recommendation="",
        trials=(trial(), trial(BATCH.key)),
        warnings=("The first run took 1.4 times as long as later ones; --warmup 1 leaves it out.",),
        versions={"kernel": "6.18.15+deb13-amd64", "python": "3.11.2"},
    )
    return replace(basis, **changed)


SPENT = Spending("claude-opus-5-5", 3, 100, 2000, 9000, 400, 4.2, 0.01, 0.021, "2026-10")
STALL = SchedulerExit(kind=1026, code=0, reason="runnable task stall", message="make[412] failed to run for 5.1 s")
ORDERLY = SchedulerExit(kind=64, code=0, reason="unregistered from user space", message="")


def attached(candidate: Candidate) -> events.Attached:
    """The event of a confirmed attach."""
    state = attached_state(candidate.scheduler)
    return events.Attached(candidate.key, Attachment(candidate.scheduler, before=OFF, after=state, attach_s=0.072))


def detached(candidate: Candidate, exit: SchedulerExit = ORDERLY) -> events.Detached:
    """The event of a confirmed detach."""
    return events.Detached(candidate.key, Detachment(state=OFF, detach_s=0.031, exit=exit))


def one_run(candidate: Candidate, phase: Phase, round: int, **changed: Any) -> Iterator[events.Event]:
    """The events of one run, with its switches unless it is the baseline's."""
    is_baseline = candidate.scheduler == BASELINE
    if not is_baseline:
        yield events.Step("attach", candidate.key)
        yield attached(candidate)
    yield events.RunStarted(phase, round, candidate.key)
    if not is_baseline:
        yield detached(candidate)
    yield events.RunFinished(trial(candidate.key, phase, round, **changed))


def session_events(done: Session | None = None) -> Iterator[events.Event]:
    """All events of a session in the order the tuner emits them."""
    done = done or session()
    base = Candidate(BASELINE)
    tried = [BATCH, FIFO, VTIME, INTERACTIVE]
    yield events.Step("boot", "booting a micro-VM under emulation")
    yield events.MachineReady(done.machine, done.workload)
    yield events.Step("setup", "make configure")
    for number in (1, 2, 3):
        yield events.Step("prepare", "make clean")
        yield from one_run(base, "baseline", number)
    yield events.BaselineKnown(BASE, OBSERVED)
    yield events.WorkloadSeen(done.watched or profile())
    yield events.Warned("The first run took 1.4 times as long as later ones; --warmup 1 leaves it out.")
    yield events.LeftOut({"it balances between caches, and this machine has one": ("scx_rusty",), "": ("scx_nest",)})
    yield events.PlannerChosen("claude", "claude-opus-5-5, with ANTHROPIC_API_KEY in the environment")
    yield events.Step("plan", "claude")
    yield events.PlannerActed("list_schedulers", SPENT)
    reason = "The command keeps both CPUs busy and rarely sleeps, so long slices should save switches."
    yield events.Proposed("offline", tuple(Proposal(c, reason, "2 to 10 % less time") for c in tried))
    yield events.RacePlanned(Allotment(4, 4, 4, 4, run_s=2.5, wanted_s=120.0))
    for number in (1, 2):
        yield events.RoundStarted("race", number, 4, (BATCH.key, BASELINE, FIFO.key, VTIME.key, INTERACTIVE.key))
        yield from one_run(BATCH, "race", number, run=run(wall_s=2.2))
        yield from one_run(base, "race", number)
        yield from one_run(FIFO, "race", number)
        yield attached(VTIME)
        yield events.RunStarted("race", number, VTIME.key)
        yield detached(VTIME, STALL)
        yield events.RunFinished(trial(VTIME.key, "race", number, value=None, invalid="ejected: runnable task stall"))
        yield from one_run(INTERACTIVE, "race", number, run=run(wall_s=2.7))
        yield events.Standings(done.results)
    yield events.Dropped(VTIME.key, "2 invalid runs")
    yield events.RoundStarted("confirm", 1, 5, (BASELINE, BATCH.key))
    yield from one_run(base, "confirm", 1)
    yield from one_run(BATCH, "confirm", 1, run=run(wall_s=2.2))
    yield events.Finished(done)


def outcome(key: str, verdict: Verdict, speedup: float | None, note: str = "") -> CandidateResult:
    """What came of a candidate named as `--scheduler` takes it."""
    name, _, settings = key.partition(":")
    knobs = tuple((knob, int(value)) for knob, value in (one.split("=") for one in settings.split(",") if one))
    interval = None if speedup is None else Interval(speedup, speedup - 0.02, speedup + 0.02, 0.95)
    return CandidateResult(Candidate(name, knobs), "a test", verdict, interval, 2.0, 4, 0, False, note)


def a_situation(**changed: Any) -> Situation:
    """What a planner knows before the first set."""
    basis = Situation(
        machine=machine(),
        workload=workload(),
        baseline=Baseline(2.0, 3, 0.02, 0.03),
        observation=OBSERVED,
        run=run(),
        results=(),
        budget_left_s=300.0,
        candidates_affordable=2,
    )
    return replace(basis, **changed)
