# SPDX-License-Identifier: MIT
"""Speed of autotune as ratios to the tools it is compared with, all from one run: `scripts/bench [NAME...]`.

Each benchmark interleaves ours and theirs, takes medians, and shows whether the goal of docs/PERFORMANCE.md is met.
Run it on a quiet machine; a busy one spoils ratios too, only less.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autotune.machine.vm.kernels import Kernel
    from autotune.machine.vm.microvm import MicroVM
    from autotune.planner.claude.conversation import Conversation
    from autotune.records import AttachSpec

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP))


@dataclass(frozen=True)
class Result:
    """One comparison. `ours` and `theirs` are medians in `unit`; `goal` is the largest acceptable ratio, the smallest
    where more is better. Without `theirs`, `goal` is a limit on `ours` itself."""

    name: str
    ours: float
    theirs: float | None
    unit: str
    goal: float
    repeats: int
    more_is_better: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs if self.theirs is not None else self.ours

    @property
    def met(self) -> bool:
        return self.ratio >= self.goal if self.more_is_better else self.ratio <= self.goal


def elapsed_s(argv: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def need(program: str) -> str:
    path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
    if path is None:
        raise SystemExit(f"bench: {program} is not installed; run scripts/test once, which installs it")
    return path


# --- the runner against hyperfine ------------------------------------------------------------------------


def runner(argv: list[str], repeats: int, batches: int) -> Result:
    """Compare wall time that the runner reports with `hyperfine -N`, in alternating batches."""
    from autotune.machine.local import invoking_identity
    from autotune.measure.client import Runner
    from autotune.records import RunSpec

    spec = RunSpec(tuple(argv), str(TOP), dict(os.environ))
    ours: list[float] = []
    theirs: list[float] = []
    with Runner(invoking_identity()) as helper:
        for _ in range(5):
            helper.run(spec)
        for _ in range(batches):
            ours += [helper.run(spec).wall_s for _ in range(repeats // batches)]
            theirs += hyperfine_s(argv, repeats // batches)
    name = f"runner, {' '.join(argv)}, against hyperfine -N"
    return Result(name, statistics.median(ours) * 1e3, statistics.median(theirs) * 1e3, "ms", 1.1, len(ours))


def hyperfine_s(argv: list[str], repeats: int) -> list[float]:
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "out.json"
        command = [need("hyperfine"), "-N", "--runs", str(max(2, repeats)), "--export-json", str(out), " ".join(argv)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        times: list[float] = json.loads(out.read_text())["results"][0]["times"]
        return times


# --- start-up --------------------------------------------------------------------------------------------

BARE = """import typer
app = typer.Typer()
@app.command()
def main(version: bool = False) -> None:
    if version:
        print("bare 1.0")
app()
"""


def start_up(repeats: int) -> Result:
    """Compare `autotune --version` with a bare Typer program."""
    with tempfile.TemporaryDirectory() as directory:
        bare = Path(directory) / "bare.py"
        bare.write_text(BARE)
        autotune = str(Path(sys.executable).parent / "autotune")
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(repeats):
            ours.append(elapsed_s([autotune, "--version"]))
            theirs.append(elapsed_s([sys.executable, str(bare), "--version"]))
    return Result(
        "autotune --version against a bare Typer program",
        statistics.median(ours) * 1e3,
        statistics.median(theirs) * 1e3,
        "ms",
        1.5,
        repeats,
    )


# --- autotune run ----------------------------------------------------------------------------------------


def wrapped(repeats: int) -> list[Result]:
    """Compare commands under `autotune run` with the bare ones, in turn: of a command that no session knows, and of one
    whose known best cannot be applied here, or which is over before it is."""
    from tests.support import tuned

    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        tuned.keep(top, tuned.session(["/bin/true"], top), tuned.session(["sleep", "0.2"], top, id="0000beef"))
        environ = tuned.environ(top)
        elsewhere = top / "elsewhere"
        elsewhere.mkdir()
        added_ms, known_ms = (
            1e3 * (ours_s - bare_s)
            for ours_s, bare_s in (in_turn(["/bin/true"], cwd, environ, repeats) for cwd in (elsewhere, top))
        )
        ours_s, bare_s = in_turn(["sleep", "0.2"], top, environ, repeats)
    return [
        Result("autotune run /bin/true, more than bare", added_ms, None, "ms", 50.0, repeats),
        Result("the same where it was tuned", known_ms, None, "ms", 50.0, repeats),
        Result("autotune run sleep 0.2, against bare", ours_s * 1e3, bare_s * 1e3, "ms", 1.02, repeats),
    ]


def in_turn(argv: list[str], cwd: Path, environ: dict[str, str], repeats: int) -> tuple[float, float]:
    """Return the median times of a command under `autotune run` and of the bare one, in seconds."""
    autotune = str(Path(sys.executable).parent / "autotune")

    def took_s(words: list[str]) -> float:
        started = time.perf_counter()
        subprocess.run(words, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - started

    pairs = [(took_s([autotune, "run", "--", *argv]), took_s(argv)) for _ in range(repeats)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


# --- the micro-VM ----------------------------------------------------------------------------------------


def boot_time(repeats: int) -> Result:
    """Compare start to first command with plain `vng`, with the same kernel and acceleration."""
    from autotune.machine.vm import kernels

    kernel = kernels.find(None)
    boot_ours(kernel)  # the first boot may have to find out about KVM
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(repeats):
        took_s, acceleration = boot_ours(kernel)
        ours.append(took_s)
        theirs.append(boot_vng_s(kernel, acceleration))
    return Result(
        f"micro-VM ({acceleration}), start to first command, against vng",
        statistics.median(ours),
        statistics.median(theirs),
        "s",
        0.6,
        repeats,
    )


def boot_ours(kernel: Kernel) -> tuple[float, str]:
    """Boot our micro-VM and run a command. Returns the seconds until it ended, and the acceleration."""
    from autotune.machine.base import Place
    from autotune.machine.local import invoking_identity
    from autotune.machine.vm import microvm
    from autotune.records import RunSpec

    place, options = Place(str(TOP), False, invoking_identity()), microvm.VmOptions(2, 2 << 30)
    started = time.perf_counter()
    machine = microvm.boot(kernel, place, options, "bench")
    machine.run(RunSpec(("true",), str(TOP), dict(os.environ)))
    took_s = time.perf_counter() - started
    acceleration = machine.info.acceleration
    machine.close()
    return took_s, acceleration


def boot_vng_s(kernel: Kernel, acceleration: str) -> float:
    """Boot vng and run a command. Returns the seconds until its output comes."""
    argv, env = vng_command(kernel, acceleration)
    started = time.perf_counter()
    process = subprocess.Popen(
        [*argv, "--", "echo first"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=env,
        cwd=TOP,
    )
    assert process.stdout is not None
    seen = b""
    while b"first" not in seen:
        piece = os.read(process.stdout.fileno(), 4096)
        if not piece:
            raise SystemExit("bench: vng ended without running its command")
        seen += piece
    took_s = time.perf_counter() - started
    process.communicate()
    return took_s


def vng_command(kernel: Kernel, acceleration: str) -> tuple[list[str], dict[str, str]]:
    """Return the argument vector and the environment of vng, with the emulator that we use."""
    from autotune.machine.vm import microvm

    programs = Path(sys.executable).parent
    flag = ["--disable-kvm"] if acceleration == "tcg" else []
    argv = [str(programs / "vng"), "-r", str(kernel.image), "--force-9p", *flag]
    argv += ["--user", "root", "--cpus", "2", "--memory", "2G"]
    env = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    if kernel.qemu is not None:
        program, *firmware = microvm.qemu_program(kernel)
        argv += ["--qemu", program, f"--qemu-opts={' '.join(firmware)}"]
        env["QEMU_MODULE_DIR"] = str(kernel.qemu / "lib")
    return argv, env


def switching(repeats: int) -> list[Result]:
    """Compare attaching and detaching, confirmed, with bpftool on the same object in the same VM."""
    from autotune.machine.base import Place
    from autotune.machine.vm import kernels, microvm
    from autotune.records import Candidate, Identity
    from autotune.schedext.resolve import CatalogResolver

    kernel = kernels.find(None)
    with tempfile.TemporaryDirectory(dir=TOP / "scripts") as directory:
        bpftool = new_bpftool(Path(directory))
        plain = without_link("at_vtime", Path(directory), kernel.headers)
        machine = microvm.boot(kernel, Place(str(TOP), False, Identity(0, 0)), microvm.VmOptions(2, 2 << 30), "bench")
        try:
            spec = CatalogResolver(machine.headers)(Candidate("at_vtime"))
            return switches(machine, spec, bpftool, plain, repeats)
        finally:
            machine.close()


def new_bpftool(directory: Path) -> str:
    """Fetch a bpftool that can load our objects from the backports: Debian 12's own 7.1 cannot."""
    from autotune.machine.vm import archive

    apt = archive.Archive(directory / "apt")
    apt.update()
    version = apt.backport_of("bpftool")
    if version is None:
        return need("bpftool")
    for file in apt.download([f"bpftool={version}"], directory):
        archive.run(["dpkg", "-x", str(file), str(directory)], "unpacking failed")
    return str(next(directory.glob("usr/sbin/bpftool")))


def without_link(name: str, directory: Path, headers: Path | None) -> str:
    """Build the scheduler without a link, so that bpftool registers and unregisters it by its map."""
    from autotune import resources
    from autotune.schedext.build import build

    source = directory / f"{name}.bpf.c"
    text = (resources.bpf_source_dir() / source.name).read_text()
    source.write_text(text.replace('SEC(".struct_ops.link")', 'SEC(".struct_ops")'))
    return str(build(source, headers=headers).object_path)


def switches(machine: MicroVM, spec: AttachSpec, bpftool: str, plain: str, repeats: int) -> list[Result]:
    from autotune.records import RunSpec

    env = {**os.environ, "BPFTOOL": bpftool}
    script = str(TOP / "scripts" / "bench_bpftool.py")
    ours: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for _ in range(repeats):
        attachment = machine.attach(spec)
        ours.append((attachment.attach_s, machine.detach().detach_s))
        run = machine.run(RunSpec((sys.executable, "-S", "-E", script, plain), str(TOP), env))
        if run.exit_code != 0:
            raise SystemExit(f"bench: bpftool failed: {run.stderr.head}")
        register_s, unregister_s = json.loads(run.stdout.head)
        theirs.append((register_s, unregister_s))
    names = ("attach to confirmed, against bpftool struct_ops register", "detach to confirmed, against unregister")
    return [
        Result(
            name,
            statistics.median(pair[index] for pair in ours) * 1e3,
            statistics.median(pair[index] for pair in theirs) * 1e3,
            "ms",
            1.2,
            repeats,
        )
        for index, name in enumerate(names)
    ]


# --- between two runs ------------------------------------------------------------------------------------


def between_runs(repeats: int) -> Result:
    """Measure the time from the end of one run to the start of the next on the host, without prepare or switch."""
    from autotune.machine.base import Place
    from autotune.machine.local import LocalMachine, invoking_identity
    from autotune.records import Workload
    from autotune.session.trials import TrialOutcome, Trials

    machine = LocalMachine(Place(str(TOP), False, invoking_identity()), why="bench", libbpf=None, headers=None)
    workload = Workload("sleep 0.05", ("sleep", "0.05"), str(TOP), dict(os.environ))
    trials = Trials(workload, machine, lambda _event: None, show_output=False)
    gaps: list[float] = []
    try:
        for number in range(repeats):
            started = time.perf_counter()
            outcome = trials.baseline("baseline", number + 1)
            took = time.perf_counter() - started
            assert isinstance(outcome, TrialOutcome)
            gaps.append(took - outcome.trial.run.wall_s)
    finally:
        machine.close()
    return Result("between two runs on the host", statistics.median(gaps[1:]) * 1e3, None, "ms", 30.0, repeats)


# --- planning --------------------------------------------------------------------------------------------


def planning(sessions: int) -> Result:
    """Measure what a turn of planning with Claude takes beyond the API's own time, against a local server whose answers
    are timed: five turns with three calls and four tools each. The library's part counts as ours."""
    from tests.support.messages_server import Answer, serving, submit, tool
    from tests.support.sessions import a_situation

    def turn(number: int) -> list[Answer]:
        return [
            Answer([tool("list_schedulers"), tool("describe_scheduler", name="at_batch")]),
            Answer([tool("read_workload_file", path="README.md", offset=0)]),
            Answer([submit(f"at_fifo:slice_us={1000 * number}")]),
        ]

    own_s: list[float] = []
    for _ in range(sessions):
        with serving(*(answer for number in range(1, 6) for answer in turn(number))) as script:
            talk = planning_talk(script.url, script.key)
            for _turn in range(5):
                served = sum(script.busy_s)
                started = time.perf_counter()
                talk.propose(a_situation())
                took = time.perf_counter() - started
                time.sleep(0.02)  # the server notes its last answer
                own_s.append(took - (sum(script.busy_s) - served))
    return Result(
        "planning with Claude, our own time a turn", statistics.median(own_s) * 1e3, None, "ms", 50.0, len(own_s)
    )


def planning_talk(url: str, key: str) -> Conversation:
    from autotune.knowledge.store import Knowledge
    from autotune.planner.claude import cost
    from autotune.planner.claude.conversation import Conversation
    from autotune.planner.claude.credentials import Credentials
    from autotune.planner.claude.service import ClaudeService
    from autotune.planner.claude.transcript import Transcript
    from autotune.redact import Redactor
    from autotune.schedext.catalogue.catalog import Catalog
    from autotune.tools.toolbox import Toolbox

    redactor = Redactor(os.environ)
    state = Path(tempfile.mkdtemp(prefix="autotune-bench-"))
    return Conversation(
        service=ClaudeService(Credentials(key, None, url, "bench")),
        tools=Toolbox(Catalog.load(), None, Knowledge(state / "history.sqlite3"), TOP, redactor),
        account=cost.Bill("claude-opus-5-5", cost.load(None)),
        transcript_file=Transcript(redactor, state),
        redact=redactor.text,
        listener=lambda _event: None,
        model="claude-opus-5-5",
        budget_s=600.0,
    )


# --- doctor ----------------------------------------------------------------------------------------------


def checks(repeats: int) -> Result:
    """Compare the checks of `autotune doctor`, in a running process, with starting Python with Typer."""
    from autotune.commands import requirements

    def ours_s() -> float:
        started = time.perf_counter()
        requirements.collect()
        return time.perf_counter() - started

    pairs = [(ours_s(), elapsed_s([sys.executable, "-c", "import typer"])) for _ in range(repeats)]
    ours, theirs = (statistics.median(pair[index] for pair in pairs) * 1e3 for index in (0, 1))
    return Result("doctor's checks against starting Typer", ours, theirs, "ms", 5.0, repeats)


# --- the watch -------------------------------------------------------------------------------------------


def watching(batches: int) -> Result:
    """Compare the watch's CPU time in a measured run, in ms for each s, with two bare threads that sleep as long."""
    from autotune.canary import RUN_BOUNDS, Look, Watch

    def ours_ms(seconds: float = 4.0) -> float:
        watch = Watch(None, Look(), None, bounds=RUN_BOUNDS)
        watch.start()
        time.sleep(seconds)
        return watch.stop().cpu_share * 1e3

    def bare_ms(seconds: float = 4.0) -> float:
        used: list[float] = []

        def sleeping(period_s: float) -> None:
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s:
                time.sleep(period_s)
            used.append(time.thread_time())

        started = time.monotonic()
        periods_s = (RUN_BOUNDS.probe_period_s, RUN_BOUNDS.guard_period_s)
        threads = [threading.Thread(target=sleeping, args=(period_s,)) for period_s in periods_s]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(used) / (time.monotonic() - started) * 1e3

    pairs = [(ours_ms(), bare_ms()) for _ in range(batches)]
    ours, theirs = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
    return Result("the watch of a measured run, CPU a second, against bare sleeps", ours, theirs, "ms", 3.0, batches)


# --- the probe -------------------------------------------------------------------------------------------


def probing(pairs: int) -> Result:
    """Compare the demo workload with the probe beside it and without, in turn, inside one micro-VM."""
    from autotune import resources
    from autotune.machine.base import Place
    from autotune.machine.vm import kernels, microvm
    from autotune.records import Identity, ProbeSpec, RunSpec
    from autotune.schedext.build import build

    kernel = kernels.find(None)
    made = build(resources.bpf_source_dir() / "probes" / "tasks.bpf.c", headers=kernel.headers)
    probe = ProbeSpec(str(made.object_path), made.sha256)
    spec = RunSpec(
        ("sh", "-c", "make -s clean; exec make -s -j4"), str(TOP / "scripts" / "demo"), {"PATH": "/usr/bin:/bin"}
    )
    place = Place(spec.cwd, False, Identity(0, 0, (0,)))
    machine = microvm.boot(kernel, place, microvm.VmOptions(2, 2 << 30), "a benchmark")
    try:
        machine.measure(spec, None)  # to warm up
        taken = [(machine.watch(spec, probe).run.wall_s, machine.measure(spec, None).run.wall_s) for _ in range(pairs)]
    finally:
        machine.close()
    ours, theirs = (statistics.median(pair[index] for pair in taken) for index in (0, 1))
    return Result("the demo while it is watched, against unwatched", ours, theirs, "s", 1.05, pairs)


# --- the daemon ------------------------------------------------------------------------------------------


def leases(repeats: int) -> Result:
    """Compare a lease of the daemon with a holder that sudo starts, each from nothing until the scheduler is detached
    again, in turn, inside one micro-VM."""
    from autotune.machine.vm import kernels
    from autotune.machine.vm.resilient import ResilientVM
    from tests.support.guest import built_object, guest_run, own_vm

    kernel = kernels.find(None)
    machine = ResilientVM(lambda: own_vm(kernel, TOP), lambda text: print(text, file=sys.stderr))
    argv = (str(TOP / "scripts/bench_lease.py"), str(repeats), built_object("at_fifo", kernel), str(kernel.libbpf))
    try:
        run = guest_run(machine, sys.executable, *argv, timeout_s=600.0)
    finally:
        machine.close()
    if run.exit_code != 0:
        raise SystemExit(f"bench: lease: {run.stderr.tail or run.stderr.head}")
    found = json.loads((run.stdout.tail or run.stdout.head).splitlines()[-1])
    ours, theirs = (statistics.median(found[name]) for name in ("daemon", "sudo"))
    return Result("attach and detach by the daemon's lease, against sudo", ours, theirs, "s", 1.0, repeats)


# --- verdicts --------------------------------------------------------------------------------------------


def verdicts(sessions: int) -> list[Result]:
    """Compare simulated sessions, one of six candidates better at 2 % noise and a budget of 70 runs, with ten runs of
    each. Its limits are found by simulation too: 2.5 % false winners as Dunnett's two-sided test has, and 5 %, as many
    as ours may have."""
    from tests.support import race_simulation as simulated

    large, small = (simulated.World(simulated.one_better(gain)) for gain in (0.10, 0.02))
    fixed_runs = float(simulated.RUNS_EACH * (1 + len(large.speedups)))
    ours = [simulated.simulate(world, sessions, 1) for world in (large, small)]
    equal = simulated.World(simulated.EQUAL)
    two_sided, same_risk = (
        simulated.share_found_by_fixed_design(small, "d", simulated.critical(equal, alpha, 4 * sessions), sessions, 1)
        for alpha in (0.025, 0.05)
    )
    until = [statistics.fmean(tally.verdict_runs) for tally in ours]
    found = ours[1].share_won_by("d") * 100
    each = f"against {simulated.RUNS_EACH} runs each"
    return [
        Result(f"runs to a verdict, gain of 10 %, {each}", until[0], fixed_runs, "runs", 1 / 3, sessions),
        Result(f"runs to a verdict, gain of 2 %, {each}", until[1], fixed_runs, "runs", 1.0, sessions),
        Result(f"gain of 2 % found, {each} (Dunnett, two-sided)", found, two_sided * 100, "%", 2.0, sessions, True),
        Result(f"the same with as many false winners, {each}", found, same_risk * 100, "%", 1.0, sessions, True),
    ]


# --- knowledge -------------------------------------------------------------------------------------------


def second_sessions(pairs: int) -> list[Result]:
    """Compare the runs of a second session on a command with those of the first, simulated: one of four schedulers is
    better by 10 %, at 1 % noise; and how many of the second sessions reach the same verdict. Also what a look-up of the
    known best takes, with all that it imports, against a bare Python."""
    from autotune.schedext.programs.binaries import Places
    from autotune.tools import reasons
    from tests.support.scripted_sessions import SessionsInTurn

    vars(reasons)["here"] = Places  # no program is installed
    times = {"eevdf": 1.0, "at_batch": 0.91, "at_fifo": 1.1, "at_vtime": 1.0, "at_interactive": 1.2}
    runs: list[tuple[int, int]] = []
    same = 0
    for seed in range(pairs):
        with tempfile.TemporaryDirectory() as directory:
            turn = SessionsInTurn(Path(directory))
            first, second = (turn.run(times, seed=2 * seed + number, noise=0.01) for number in (0, 1))
        runs.append((len(second.trials), len(first.trials)))
        same += first.winner == second.winner
    ours, theirs = (statistics.fmean(pair[index] for pair in runs) for index in (0, 1))
    return [
        Result("runs of a second session, against the first (simulated)", ours, theirs, "runs", 0.5, pairs),
        Result("second sessions with the same verdict, of all", same / pairs * 100, 100.0, "%", 0.9, pairs, True),
        looked_up(30),
    ]


def looked_up(repeats: int) -> Result:
    """Compare the CPU time of a process that looks the known best of a command up with one that does nothing."""
    program = (
        "from autotune.knowledge.best import known_best; from autotune.machine.here import whereabouts; import os; "
        "known_best('make -j8', os.getcwd(), here=whereabouts(with_topology=False), store=os.environ['STORE'])"
    )
    ours: list[float] = []
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as directory:
        from autotune.knowledge.store import Knowledge
        from tests.support import sessions

        os.environ["STORE"] = f"{directory}/history"
        with Knowledge(Path(directory) / "history") as knowledge:
            for number in range(200):
                work = sessions.workload(cwd=os.getcwd(), command=f"make -j{number % 20}")
                knowledge.record(sessions.session(id=f"{number:08x}", workload=work, trials=()))
        for _ in range(repeats):
            ours.append(cpu_s([sys.executable, "-c", program]))
            bare.append(cpu_s([sys.executable, "-c", "pass"]))
    more_ms = (statistics.median(ours) - statistics.median(bare)) * 1e3
    what = "CPU time of a look-up of the known best among 200 sessions, beyond a bare Python"
    return Result(what, more_ms, None, "ms", 25, repeats)


def cpu_s(argv: list[str]) -> float:
    """Return the CPU time of a process, which others on the machine do not change much."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"bench: {argv[0]} failed")
    return usage.ru_utime + usage.ru_stime


BENCHES: dict[str, Callable[[], list[Result]]] = {
    "runner": lambda: [runner(["/bin/true"], 300, 6), runner(["sleep", "0.2"], 20, 4)],
    "start": lambda: [start_up(20)],
    "run": lambda: wrapped(31),
    "between": lambda: [between_runs(20)],
    "planning": lambda: [planning(4)],
    "doctor": lambda: [checks(7)],
    "watch": lambda: [watching(7)],
    "verdict": lambda: verdicts(4000),
    "second": lambda: second_sessions(20),
    "boot": lambda: [boot_time(3)],
    "switch": lambda: switching(11),
    "lease": lambda: [leases(11)],
    "probe": lambda: [probing(7)],
}


def line(result: Result) -> str:
    theirs = "" if result.theirs is None else f" | {result.theirs:.2f} {result.unit}"
    shown = f"{result.ratio:.2f}" if result.theirs is not None else f"{result.ours:.1f} {result.unit}"
    goal = (
        f"{'at least ' if result.more_is_better else ''}{result.goal:.3g}"
        if result.theirs is not None
        else f"{result.goal:g} {result.unit}"
    )
    verdict = "met" if result.met else "MISSED"
    return (
        f"| {result.name} | {result.ours:.2f} {result.unit}{theirs or ' | -'} | {shown} | {goal} | {verdict} | "
        f"{result.repeats} |"
    )


def main() -> None:
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        raise SystemExit(f"bench: no benchmark {unknown[0]}; there are {', '.join(BENCHES)}")
    print("| what | ours | theirs | ratio | goal | | repeats |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    results = []
    for name in names:
        for result in BENCHES[name]():
            results.append(result)
            print(line(result), flush=True)
    sys.exit(0 if all(result.met for result in results) else 1)


if __name__ == "__main__":
    main()
