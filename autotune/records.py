# SPDX-License-Identifier: MIT
"""What autotune is about, as plain records: workloads, candidates, runs, evidence, verdicts, sessions.

What always holds here:
- standard library only, since guest, holder and runner import this;
- records are frozen; units are in the names (`wall_s`, `max_rss_bytes`);
- `None` means "not known" or "does not apply", and every field that may be `None` says when;
- `to_json` and `from_json` are inverse to each other for every record.
"""

from __future__ import annotations

import shlex
from dataclasses import field, replace
from typing import Literal, TypeAlias

from autotune.frozen import dataclass

KnobValue: TypeAlias = bool | int | float | str
Goal = Literal["min", "max"]
Phase = Literal["warmup", "baseline", "race", "confirm", "tail"]
Verdict = Literal["faster", "slower", "same", "undecided", "invalid"]
Acceleration = Literal["none", "kvm", "tcg"]
Stage = Literal["setup", "prepare", "run", "conclude", "cleanup"]
"""What a command is for. What setup leaves running is ended by cleanup, what prepare leaves by the next run, or by
conclude where there is one."""
Prediction = Literal["faster", "same", "slower"]
"""The effect that a proposer expects of a candidate; code later compares it with the result."""

Point: TypeAlias = tuple[tuple[str, str], ...]
"""One value for each of the workload's parameters: names and values in the order of `Workload.parameters`."""

BASELINE = "eevdf"
"""The kernel's own scheduler. The key of the baseline wherever candidates are keyed by name, followed by the values of
the workload's parameters where it has any (`Candidate.key`)."""


def is_baseline(key: str) -> bool:
    """Return whether a key is the baseline's, at whatever values of the workload's parameters."""
    return key == BASELINE or key.startswith(f"{BASELINE} ")


# --- what to run -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """A parameter of the workload's own: `{name}` in its commands stands for one of the values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """A number in the workload's output that is reported beside the one that is judged."""

    name: str
    regex: str


@dataclass(frozen=True)
class Guard:
    """A bound of a side effect: what a scheduler must not cost, however fast it is."""

    name: str
    """That of a built-in one (`verdict.guards.BUILT_IN`), or the user's."""
    side: Literal["max", "min"]
    limit: float
    """The bound: a number, or where it is `relative` a ratio to EEVDF's value in the same rounds (1.05 for max+5%)."""
    relative: bool
    regex: str | None = None
    """Finds the number in the output; None for a built-in guard."""
    chosen: bool = False
    """The user gave it; False for a default."""


DEFAULT_GUARDS = (
    Guard("memory", "max", 1.25, relative=True),
    Guard("cpu", "max", 1.30, relative=True),
    Guard("energy", "max", 1.20, relative=True),
    Guard("latency", "max", 2.0, relative=True),
)
"""The built-in guards, which are on unless the user switches them off; `verdict.guards` says why these bounds."""


@dataclass(frozen=True)
class Workload:
    """The user's command and what belongs to it. `argv` is what is executed; a command given as one string has become
    `("sh", "-c", string)` with the string kept in `command` for people to read."""

    command: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str] = field(default_factory=dict)
    setup: str | None = None
    """Shell command run once before everything, outside of the disposable files of `pristine`; what it leaves running
    is ended after cleanup. None when there is none (so for prepare, conclude and cleanup)."""
    prepare: str | None = None
    conclude: str | None = None
    """Shell command run after every run, once the scheduler is detached."""
    cleanup: str | None = None
    input_path: str | None = None
    """File for standard input; None means /dev/null."""
    timeout_s: float | None = None
    """Limit of one run; None means a limit derived from the baseline."""
    metric_regex: str | None = None
    """Finds one number in the output; None means that wall time is the metric."""
    goal: Goal = "min"
    ignore_failure: bool = False
    """Count runs that fail, under the baseline and under candidates alike."""
    ignored_exits: tuple[int, ...] = ()
    """With `ignore_failure`: the only exit codes that count beside 0, 128 + N for signal N; empty: all count."""
    pristine: bool = False
    parameters: tuple[Parameter, ...] = ()
    """What `{name}` stands for in command, argv, setup, prepare, conclude and cleanup; runs try all combinations."""
    name: str = ""
    """Shown in place of the command; empty when the user gave none."""
    metrics: tuple[Metric, ...] = ()
    """Further metrics, which are reported and not judged."""
    guards: tuple[Guard, ...] = DEFAULT_GUARDS

    @property
    def title(self) -> str:
        """The name for people: the user's own, or else the command."""
        return self.name or self.command

    @property
    def shell(self) -> tuple[str, ...]:
        """The shell that runs the command, with its options but for `-c`; empty when the command is executed as it
        is."""
        return self.argv[:-2] if self.argv[-2:] == ("-c", self.command) else ()


@dataclass(frozen=True)
class RunSpec:
    """One execution for the runner: all that the measuring process must know."""

    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    stdin_path: str | None = None
    timeout_s: float | None = None
    keep_bytes: int = 32768
    """Bytes kept of each stream: half from the head, half from the tail."""
    stream: bool = False
    """Send the output on as it comes, besides keeping it."""
    metric_regex: str | None = None
    policy_ext: bool = False
    """Start the command under SCHED_EXT, for schedulers attached in partial mode."""
    stage: Stage = "run"
    keeps_prepared: bool = False
    """What prepare left runs on after this run: a conclude command follows, which ends it."""
    more_regexes: tuple[str, ...] = ()
    """Each finds one more number in the output."""
    probe: bool = False
    """Measure a bystander's wake-up latency meanwhile."""


@dataclass(frozen=True)
class ProbeSpec:
    """The compiled probe that watches tasks (`bpf_src/probes/tasks.bpf.c`), by its content."""

    object_path: str
    object_sha256: str
    tell_ns: int = 1_000_000
    """The least length of a turn, wait or sleep that is recorded one by one."""


@dataclass(frozen=True)
class Identity:
    """The user that the workload runs as: whoever started autotune, never root because autotune is."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


# --- what a run showed -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Output:
    """A bounded view of one output stream. Bytes that are not UTF-8 appear as backslash escapes.
    `tail` is empty when everything fitted into `head`."""

    head: str
    tail: str
    total_bytes: int
    omitted_bytes: int


@dataclass(frozen=True)
class Found:
    """What one expression found in the output."""

    matches: tuple[str, ...]
    """The first few texts that it captured."""
    count: int
    error: str | None = None
    """Why the output could not be searched; None when it could."""


@dataclass(frozen=True)
class Run:
    """One execution, measured from just before the spawn to its reaping. Times of CPU, peak memory, faults and
    switches are `wait4`'s: the child and its reaped descendants."""

    wall_s: float
    user_s: float
    system_s: float
    max_rss_bytes: int
    voluntary_switches: int
    involuntary_switches: int
    minor_faults: int
    major_faults: int
    exit_code: int | None
    """None when a signal ended it or it could not be started."""
    signal: int | None
    """The signal that ended it; None when it exited by itself."""
    timed_out: bool
    stdout: Output
    stderr: Output
    metric_matches: tuple[str, ...] = ()
    """The first few texts that the metric's expression captured; empty without one."""
    metric_count: int = 0
    """How often the metric's expression matched."""
    metric_error: str | None = None
    """Why the output could not be searched for the metric; None when it could."""
    left_running: int = 0
    """Processes the command left behind. They were ended, except those of setup and prepare, which run on."""
    still_running: tuple[int, ...] = ()
    """Processes that were to be ended after the command and could not be, even by SIGKILL."""
    start_error: str | None = None
    """Why it could not be started (no such command, no permission); None when it was."""
    found: tuple[Found, ...] = ()
    """What each of `RunSpec.more_regexes` found."""


@dataclass(frozen=True)
class RawTasks:
    """What the probe wrote, in base64: arrays of the structs of `observe.layout`."""

    counts: str
    ends: str
    execs: str
    turns: str


@dataclass(frozen=True)
class Watched:
    """A run with the probe beside it, which costs time: it is never compared with others."""

    run: Run
    tasks: RawTasks


@dataclass(frozen=True)
class SideEffects:
    """What a run cost the rest of the machine."""

    wake_late_s: float | None = None
    """How late a bystander woke on average; None when it was not measured, or woke too seldom."""
    wakes: int = 0
    probe_cpu_s: float = 0.0
    """CPU time of the probe that measured it."""
    energy_j: float | None = None
    """Energy of the CPU packages (RAPL); None where it cannot be read."""


@dataclass(frozen=True)
class Surroundings:
    """What happened around a run that it cannot have caused, on the CPUs that the session may use. None is what cannot
    be read."""

    elapsed_s: float
    cpus: int
    others_s: float | None = None
    """CPU time of processes that are not the session's."""
    stolen_s: float | None = None
    """CPU time that the hypervisor gave to others."""
    throttled: int | None = None
    """How often a CPU was slowed down since it was too hot."""
    frequency_cap: float | None = None
    """Lowest cap on a CPU's frequency, as a share of its highest one."""


@dataclass(frozen=True)
class Snapshot:
    """Counters of the whole machine at one moment; the difference of two shows what happened between."""

    at_s: float
    """Monotonic clock."""
    cpu_busy_s: float
    cpu_total_s: float
    context_switches: int
    forks: int
    run_wait_s: float | None
    """Time tasks spent runnable but not running, all CPUs (`/proc/schedstat`)."""
    pressure_cpu_s: float | None
    pressure_io_s: float | None
    pressure_memory_s: float | None
    timeslices: int | None


@dataclass(frozen=True)
class Sample:
    """What the machine does at one moment, for watching it while something runs."""

    counters: Snapshot
    memory_used_bytes: int
    memory_total_bytes: int
    runnable: int
    """Tasks that run or want to, all CPUs."""
    state: KernelState


@dataclass(frozen=True)
class Observation:
    """What the system did during a run, averaged over the observed baseline runs."""

    wall_s: float
    cpu_utilisation: float
    """Busy share of all CPUs, 0 to 1."""
    parallelism: float
    """CPU seconds of the workload per second of wall time."""
    run_wait_share: float | None
    """Runnable-but-waiting time per CPU-second of the machine."""
    pressure_cpu_share: float | None
    """Share of the time in which some task waited for a CPU (PSI)."""
    pressure_io_share: float | None
    context_switches_per_s: float
    involuntary_share: float
    """Involuntary switches of the workload among all of its switches."""
    forks_per_s: float
    cpus: int


# --- what the workload does ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskGroup:
    """All tasks with one key. Times are in s; CPU time is the sum of the group, `longest_s` that of its longest task.

    A task that never executed a program of its own (a fork, a thread) counts to its program's key."""

    key: str
    tasks: int
    cpu_s: float
    longest_s: float
    wait_s: float
    """Runnable, but waiting for a CPU."""
    sleep_s: float
    starts_s: float
    """Start of its first task, from the start of the run."""
    ends_s: float
    """End of its last task."""
    migrations: int = 0
    wakeups: int = 0


@dataclass(frozen=True)
class ProfileSlot:
    """One of the equal parts of the run: how many CPUs the tasks kept busy on average, and how many more they waited
    for."""

    busy: float
    waiting: float


@dataclass(frozen=True)
class ChainLink:
    """One task of the longest chain."""

    key: str
    cpu_s: float
    starts_s: float
    ends_s: float


NEARLY = 0.02
"""Parts of a bound that differ by less are told as one."""


@dataclass(frozen=True)
class Profile:
    """What a workload did in one run that was watched under the kernel's own scheduler."""

    wall_s: float
    """Of the watched run: it includes the cost of watching."""
    cpus: int
    tasks: int
    work_s: float
    """CPU time of all tasks."""
    chain_s: float
    """The longest chain of tasks that had to follow one another (`observe.bound`)."""
    chain: tuple[ChainLink, ...]
    least_s: float
    """No schedule on these CPUs ends the run sooner."""
    possible: float
    """The share of `wall_s` that the best schedule could save: 0.2 for 20 %."""
    serial_s: float
    """Time in which the tasks wanted one CPU at most."""
    wait_s: float
    """Time that tasks were runnable but waiting for a CPU, of all tasks together."""
    migrations: int
    groups: tuple[TaskGroup, ...]
    """By CPU time, the largest first."""
    slots: tuple[ProfileSlot, ...]
    waits: dict[str, int]
    """Turns by how long the task had waited for its CPU: 2^n to 2^(n+1) ns, by n."""
    unseen_tasks: int = 0
    """Tasks that are missing here, since there were too many."""

    @property
    def limit(self) -> str:
        """What sets the bound: `chain`, `work` or, where work begins too late to be shared evenly, `begin`."""
        if self.chain_s >= self.least_s * (1.0 - NEARLY):
            return "chain"
        return "work" if self.work_s / self.cpus >= self.least_s * (1.0 - NEARLY) else "begin"


# --- schedulers ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Candidate:
    """A scheduler with settings for its knobs, and values of the workload's parameters. Knobs not named keep their
    defaults."""

    scheduler: str
    knobs: tuple[tuple[str, KnobValue], ...] = ()
    profile: str = field(default="", compare=False)
    """Name of the scheduler's profile that has exactly these settings; empty when none has."""
    params: Point = ()
    """Values of the workload's parameters; empty where it has none."""

    @property
    def short(self) -> str:
        """The key with a profile's name in place of its settings: `scx_lavd:mode=server`."""
        return _with_params(f"{self.scheduler}:mode={self.profile}", self.params) if self.profile else self.key

    @property
    def key(self) -> str:
        """`at_fifo` or `at_fifo:slice_us=5000,...`, as `--scheduler` takes it; knobs in name order. With parameters
        their values follow: `at_fifo jobs=8`."""
        settings = ",".join(f"{name}={knob_text(value)}" for name, value in sorted(self.knobs))
        return _with_params(f"{self.scheduler}:{settings}" if settings else self.scheduler, self.params)

    @property
    def alone(self) -> Candidate:
        """The scheduler with its knobs, whatever the workload's parameters."""
        return replace(self, params=()) if self.params else self


def _with_params(name: str, params: Point) -> str:
    return f"{name} {point_text(params)}" if params else name


def point_text(params: Point) -> str:
    """Write values of the workload's parameters: `cc=gcc jobs=8`, quoted as for a shell."""
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in params)


def knob_text(value: KnobValue) -> str:
    """Write a knob's value as `--scheduler` takes it: booleans as true and false."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Proposal:
    """A candidate with the reason to try it: one sentence, and the effect its proposer expects."""

    candidate: Candidate
    reason: str
    expected: str = ""
    prediction: Prediction | None = None
    """None when the proposer predicted nothing."""


@dataclass(frozen=True)
class Seal:
    """What was proven about one generated object, and the token over it (`schedext.seal`)."""

    name: str
    source_sha256: str
    object_sha256: str
    clang: str
    gates: str
    """Version of the gates that it passed."""
    kernel: str
    """Release of the kernel in which it was proven."""
    token: str = ""
    settings: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The lowest and the highest value of each knob with which it was proven; a switch counts as 0 and 1."""


@dataclass(frozen=True)
class ProgramSpec:
    """A scheduler that is a program of its own, as the holder starts it."""

    argv: tuple[str, ...]
    """The first is the program's absolute path."""
    size_bytes: int
    mtime_ns: int
    """Identity of the file whose options were read; another file is not started."""
    start_s: float = 150.0
    """How long it may take to attach while it makes progress (`schedext.holding.progress`): the kernel verifies it,
    which is slow under emulation (scx_lavd takes 29 s on an idle emulated machine)."""


@dataclass(frozen=True)
class Expectations:
    """What earlier runs of a workload let a scheduler expect of its tasks: for each number that tells a task
    (`bpf_src/include/at_identity.h`) the CPU time, in ns, from the start of its program to the end of the longest chain
    of tasks that it begins."""

    chains_ns: dict[str, int]
    """By the number in decimals: those of 64 bits are none of JSON's."""
    longest_ns: int
    """The longest chain of any task, which those of the others are compared with."""
    by_order: tuple[str, ...] = ()
    """Those that tell tasks of one program apart, by their order of start."""


@dataclass(frozen=True)
class GuideSpec:
    """The compiled guide that tells a scheduler what to expect (`bpf_src/probes/guide.bpf.c`), by its content."""

    object_path: str
    object_sha256: str
    expectations: Expectations


@dataclass(frozen=True)
class AttachSpec:
    """What a machine must know to attach one scheduler: an object of ours, or a program. `rodata` are the values to
    write into the object's `const volatile` variables."""

    ops: str
    """The name that the kernel shows when it is attached."""
    object_path: str = ""
    """Empty for a program."""
    rodata: dict[str, KnobValue] = field(default_factory=dict)
    partial: bool = False
    """Only tasks that ask for SCHED_EXT are scheduled by it."""
    can_be_partial: bool = False
    """Its object has the knob for partial mode."""
    object_sha256: str | None = None
    """The holder loads no other content than this; None where the object is our own, just built."""
    generated: bool = False
    """Written by a model or a user: a host loads it only with a valid seal."""
    seal: Seal | None = None
    program: ProgramSpec | None = None
    """None for an object."""
    guide: GuideSpec | None = None
    """Attached beside an object that asks what to expect of tasks (`at_expected.h`)."""
    candidate: str = ""
    """What was resolved (`at_fifo:slice_us=5000`): a service that attaches for us resolves it itself. Empty where it is
    in no catalogue."""
    version: str = ""
    """Version of the scheduler, for people; empty when it is not known."""
    digest: str = ""
    """Digest of what decides how it schedules (`knowledge.versions`); empty when it is not known."""
    digest_of: str = ""
    """The file that the digest is of: the source of one of ours, a generated object, a program."""


@dataclass(frozen=True)
class MeasuredScheduler:
    """What was attached for a candidate: enough to tell later whether it is still the same, and to attach it again."""

    kind: Literal["bpf", "binary", "generated"]
    ops: str
    version: str
    """As in `AttachSpec`, like the next two."""
    digest: str
    digest_of: str
    size_bytes: int
    """Size and time of the file of the digest: where they are the same, nobody reads it again."""
    mtime_ns: int
    object_path: str = ""
    """Empty for a program."""
    argv: tuple[str, ...] = ()
    """Empty for an object."""


@dataclass(frozen=True)
class KernelState:
    """The content of `/sys/kernel/sched_ext`. `state` is `unsupported` where the kernel has no sched_ext."""

    state: str
    ops: str | None
    """Name of the attached scheduler as shown; None when none is attached."""
    enable_seq: int
    nr_rejected: int
    switch_all: bool | None
    """False in partial mode; None where the kernel does not say."""


@dataclass(frozen=True)
class SchedulerExit:
    """The kernel's exit record: why a scheduler was detached or ejected. `kind` 64 to 66 are orderly (unregistered),
    1024 and above are errors, of which 1026 is a stall (the kernel's `enum scx_exit_kind`)."""

    kind: int
    code: int
    reason: str
    message: str

    @property
    def is_error(self) -> bool:
        return self.kind >= 1024

    @property
    def is_unregistered(self) -> bool:
        """Whether user space detached it, as we do; it is not when the scheduler left by itself, or by a key."""
        return self.kind == 64


@dataclass(frozen=True)
class Attachment:
    """A scheduler that was confirmed attached."""

    ops: str
    before: KernelState
    after: KernelState
    attach_s: float
    """From the request to the confirmation."""


@dataclass(frozen=True)
class Detachment:
    """A scheduler that was confirmed detached."""

    state: KernelState
    detach_s: float
    exit: SchedulerExit | None
    """None when the scheduler left no exit record."""
    log: Output | None = None
    """Output of a program, both streams as they came; None for an object."""
    note: str = ""
    """Anything unusual about detaching, such as a program that did not stop on SIGINT."""


@dataclass(frozen=True)
class Evidence:
    """What shows that a run was scheduled by its candidate: the kernel's state just before and just after. `problem` is
    None when both agree with what was expected."""

    expected_ops: str | None
    """None for the baseline: no sched_ext scheduler at all."""
    before: KernelState
    after: KernelState
    problem: str | None = None


# --- trials ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measurement:
    """The result of one measured run on a machine: the run, the evidence of its scheduler, and the machine's counters
    just before and just after."""

    run: Run
    evidence: Evidence
    before: Snapshot
    after: Snapshot
    side: SideEffects = SideEffects()
    surroundings: Surroundings | None = None
    events: dict[str, int] = field(default_factory=dict)
    """As in `Trial`."""


@dataclass(frozen=True)
class Trial:
    """One measured run of a candidate (or of the baseline) within a phase and round."""

    phase: Phase
    round: int
    candidate: str
    """Candidate.key, or BASELINE."""
    started_at: float
    """Unix time."""
    run: Run
    evidence: Evidence
    value: float | None
    """The metric: wall seconds, or the number found in the output. None when the trial is invalid."""
    invalid: str | None = None
    """Why it does not count (exit code 2, ejected: runnable task stall, ...); None when it does."""
    others: dict[str, float] = field(default_factory=dict)
    """Values of guards and of further metrics, by name; what the run did not show is absent."""
    surroundings: Surroundings | None = None
    """What happened around it; None where nobody looked."""
    disturbed: str = ""
    """What disturbed it from outside, in words; it counts all the same. Empty for nothing."""
    events: dict[str, int] = field(default_factory=dict)
    """What the kernel counted of its scheduler meanwhile (`/sys/kernel/sched_ext/root/events`, without SCX_EV_), but
    for zeros; empty for EEVDF, and where the kernel does not count."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval at `confidence` (0.95 for 95 %)."""

    estimate: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True)
class GuardResult:
    """What the compared rounds show of one guard."""

    name: str
    bound: str
    """As `--guard` takes it: `max+5%`."""
    outcome: Literal["kept", "broken", "not judged"]
    """Kept means: not shown to be broken."""
    value: Interval | None
    """The candidate's value over EEVDF's, or the value itself for an absolute bound; None when it is not known."""
    pairs: int
    """Rounds in which both had a value."""
    reason: str = ""
    """Why it could not be judged, or what it broke."""
    chosen: bool = False
    """The user gave it; False for a default."""


@dataclass(frozen=True)
class MetricResult:
    """Medians of a further metric, over the rounds that the speedup rests on."""

    name: str
    median: float
    baseline_median: float | None
    """None for the baseline."""


@dataclass(frozen=True)
class CandidateResult:
    """The outcome for one candidate, or for the baseline (`candidate.scheduler` is BASELINE). With parameters there is
    a baseline for each of their values; the best is the one without a verdict, and the others are compared with it."""

    candidate: Candidate
    reason: str
    verdict: Verdict | None
    """None for the baseline."""
    speedup: Interval | None
    """Baseline over candidate (goal min) or candidate over baseline (goal max), so above 1 is better. The interval is
    the one that the verdict rests on: `faster` or `slower` if and only if it excludes 1. None when fewer than two
    rounds are valid, and for the baseline."""
    median: float | None
    """Median of the metric (or what `Session.statistic` says) over the rounds that the speedup rests on, or over all
    valid trials where there is no such round; None without any."""
    runs: int
    """Valid trials in race, confirmation and tail."""
    invalid_runs: int
    confirmed: bool
    """It is the winner: it was faster in new rounds that did not choose it."""
    note: str = ""
    expected: str = ""
    """What its proposer expected, in words."""
    prediction: Prediction | None = None
    held: bool | None = None
    """Whether the prediction came true; None without a prediction, or when the runs do not decide it."""
    baseline_median: float | None = None
    """The baseline's median over the rounds that the speedup rests on; None without such a round, and for the
    baseline."""
    fresh_pairs: int = 0
    """Pairs of rounds that did not choose it: those of its confirmation, whatever came of that."""
    slowest: float | None = None
    """The slowest of its valid runs over their median; for a metric to be raised, the same of its inverse. None without
    a valid run, and for the baseline."""
    guards: tuple[GuardResult, ...] = ()
    """Its guards, over the rounds that the speedup rests on; empty for the baseline."""
    metrics: tuple[MetricResult, ...] = ()
    """Further metrics; those without a value are left out."""
    against: str | None = None
    """Key of the baseline that `speedup` compares with: with parameters, EEVDF's best value, or another that may be as
    good. None where the workload has no parameters, and for the baseline itself."""
    disturbed_runs: int = 0
    """Those of `runs` that were disturbed from outside; they count all the same."""
    attached: MeasuredScheduler | None = None
    """What was attached; None for the baseline, and in documents of older versions."""

    @property
    def but(self) -> str:
        """What speaks against it although it is faster: the guards that it broke; empty when there are none."""
        return "; ".join(guard.reason for guard in self.guards if guard.outcome == "broken")


@dataclass(frozen=True)
class MachineInfo:
    """Where runs happen and why there."""

    kind: Literal["host", "vm"]
    why: str
    kernel: str
    cpus: int
    memory_bytes: int
    cpu_model: str
    acceleration: Acceleration
    """none on the host; kvm or tcg (emulation) in a micro-VM."""
    topology: str = ""
    """Sockets, cores, threads, last-level caches and NUMA nodes in words; empty when the kernel does not show them."""
    traits: tuple[str, ...] | None = None
    """Traits that schedulers may need (`schedext.catalogue.knobs.Trait`); None when they are not known."""


@dataclass(frozen=True)
class Allotment:
    """The share of the budget for the first set of candidates."""

    proposed: int
    fitting: int
    """Candidates that run; the first ones of those proposed."""
    rounds: int
    """Rounds that the fitting candidates are sure of, while none of them leaves."""
    most_rounds: int
    run_s: float
    """Seconds of one run with all that belongs to it, as far as the baseline shows."""
    wanted_s: float
    """Budget in seconds that gives every proposed candidate all rounds, and the leader its first look."""

    @property
    def is_complete(self) -> bool:
        """Every candidate gets all rounds."""
        return self.fitting == self.proposed and self.rounds == self.most_rounds


@dataclass(frozen=True)
class Baseline:
    """The workload under EEVDF: its median and which differences can be detected."""

    median: float
    runs: int
    noise: float
    """Relative standard deviation of the metric."""
    detectable: float | None
    """Gain (0.05 for 5 %) from which on a true one is found in 8 of 10 sessions with this budget, as far as the
    baseline's few runs tell the noise; None when the budget has no room for a confirmation."""
    min_effect: float = 0.0
    """The least gain that the user would bother to apply; 0 for any."""
    wanted_s: float | None = None
    """Budget in which a gain of `min_effect` would be found in 8 of 10 sessions or, where `detectable` is None, with
    room for a usual set of candidates and a confirmation; None where this one suffices."""
    params: Point = ()
    """Values of the workload's parameters with which EEVDF does best; empty where it has none."""


@dataclass(frozen=True)
class Outlook:
    """Where a session without a winner leads: what the leader's runs exclude, and what would show its gain if it is
    real."""

    candidate: str
    """Key of the leader, whose confirmation did not show a gain."""
    more_pairs: int | None
    """Fresh pairs beyond those it had that would show such a gain with a probability of 80 %; None when its estimate is
    not above 1, or so many pairs would be needed that nobody would run them."""
    more_s: float | None
    """About how long those take."""
    budget_s: float | None
    """Budget that has room for them, from the start."""
    least_gain: float = 0.0
    """The gain that they would show is at least this (`Session.min_effect`)."""


@dataclass(frozen=True)
class Contender:
    """A candidate that a continuation may confirm, with what the sessions so far measured of it."""

    key: str
    race_logs: tuple[float, ...]
    """Logarithms of its speedups in the race."""
    fresh_logs: tuple[float, ...]
    """The same of the pairs of its confirmations, none of which it won."""
    compared: tuple[tuple[float, float], ...]
    """What EEVDF's run and its own cost in each of these rounds, over EEVDF's median of the session."""
    scheduler_digest: str
    """Digest of the object or program that was attached; a continuation attaches no other."""


@dataclass(frozen=True)
class Chain:
    """What a session without a winner leaves to a continuation (`cc --continue`)."""

    rule: int
    """Version of the rule that shares the risk and judges (`verdict.chain`)."""
    alpha_left: float
    """Risk of a false winner that no confirmation was given so far, of 0.05 in all."""
    contenders: tuple[Contender, ...]
    """Candidates that are ahead of EEVDF by all pairs, best first."""
    noise_squares: float
    """Squares of the logarithms of the other candidates' speedups around their means."""
    noise_df: int
    """Degrees of freedom of those."""
    options: tuple[str, ...] = ()
    """Options for where and how to run, which a continuation repeats."""
    budget_s: float | None = None
    """Budget in which a continuation would show the first contender's gain with a probability of 80 % if it is real, as
    far as one confirmation can; None when it is not known."""


@dataclass(frozen=True)
class Spending:
    """The cost of planning with a model so far."""

    model: str
    calls: int = 0
    input_tokens: int = 0
    """Neither read from the cache nor written to it."""
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    service_s: float = 0.0
    """Waiting for the API, retries included."""
    own_s: float = 0.0
    """All other planning time, except trying out schedulers."""
    cost_usd: float | None = None
    """None when the model's prices are not known."""
    prices_as_of: str | None = None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.cache_write_tokens + self.cache_read_tokens + self.output_tokens


@dataclass(frozen=True)
class Session:
    """All that one `autotune cc` did and found: the content of `--json`."""

    schema: int
    autotune_version: str
    started_at: float
    elapsed_s: float
    machine: MachineInfo
    workload: Workload
    seed: int
    planner: str
    metric: str
    """`wall_s`, or the expression given by the user."""
    baseline: Baseline | None
    """None when the session ended before it was known."""
    observation: Observation | None
    """None when the session ended before it was known."""
    results: tuple[CandidateResult, ...]
    """Ranked, best first, the baseline among them."""
    winner: str | None
    """Key of the confirmed winner; None when nothing beats EEVDF here."""
    recommendation: str
    trials: tuple[Trial, ...]
    outlook: Outlook | None = None
    """None with a winner, and when no candidate was confirmed."""
    warnings: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False
    """The user stopped it."""
    spending: Spending | None = None
    """None when no model was used."""
    transcript: str | None = None
    """File with the conversation; None when no model was used."""
    failure: str | None = None
    """What ended it early (the micro-VM was lost, the baseline failed); None when it went to its end."""
    min_effect: float = 0.0
    """The least gain that the user would bother to apply (0.03 for 3 %); 0 for any."""

    statistic: str = "typical"
    """What of the runs was judged: the typical run, `mean`, `median`, or a percentile such as `p90`."""
    id: str = ""
    """Name of the session, as `--continue` takes it; empty in documents of older versions."""
    continues: str | None = None
    """The session that this one continues; None for most."""
    chain: Chain | None = None
    """What a continuation starts from; None with a winner, before the race, and where parameters are swept."""
    watched: Profile | None = None
    """What the command did in a run that was watched: its largest groups. None when none was."""
    watched_winner: Profile | None = None
    """The same of a run under the winner; None where none was watched."""
    not_watched: str = ""
    """Why no run of this session was watched; what `watched` shows then is of an earlier session. Empty when one was,
    and when the session ended before."""
    ended_early: str = ""
    """Why no candidate was tried although there was time: nothing can be won. Empty for most."""

    @property
    def is_worth_it(self) -> bool:
        """Whether the winner gains as much as the user wants; False without one."""
        won = next((one.speedup for one in self.results if one.candidate.key == self.winner), None)
        return won is not None and won.estimate >= 1.0 + self.min_effect
