# SPDX-License-Identifier: MIT
"""The command runs as it would run by hand: same descriptors, signals, limits and jobs; and what it leaves behind is
neither lost too early nor measured as done in silence. What differs is in docs/WORKLOADS.md.

That all is the same inside the micro-VM, or named, is shown in tests/vm/test_as_by_hand.py. What a run leaves behind is
ended and counted: tests/unit/measure/test_descendants.py.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autotune import resources
from autotune.commands.arguments import CcArguments
from autotune.commands.workloads import workload_from
from autotune.errors import AutotuneError, RunnerLost, WorkloadError
from autotune.events import Event, Warned
from autotune.machine.base import Place
from autotune.machine.local import invoking_environment, invoking_identity
from autotune.measure.client import PristineSpec, Runner, shell_argv
from autotune.records import Session as SessionRecord
from autotune.records import Workload
from autotune.report import json_document, markup
from autotune.session.options import SessionOptions
from autotune.session.parts import SessionParts
from autotune.session.remarks import Remarks
from autotune.session.tuner import tune
from tests.support import sessions
from tests.support.hands import Hands
from tests.support.list_planner import ListPlanner, resolve
from tests.support.run_specs import NOBODY, needs_root, shell, wait_until
from tests.support.scripted_machine import a_run
from tests.support.waiting import is_gone

ROOT = Path(__file__).resolve().parents[2]
ENV = {"PATH": os.environ["PATH"]}

MEASURED = """
import os, sys
from autotune.measure.client import Runner
from autotune.records import RunSpec
with Runner() as runner:
    run = runner.run(RunSpec(tuple(sys.argv[1:]), os.getcwd(), dict(os.environ), timeout_s=60.0))
print(run.stdout.head, end="")
print(run.stderr.head, end="", file=sys.stderr)
sys.exit(run.start_error or run.exit_code)
"""
"""Measures the command given as arguments, as a session does, and shows its output."""

SURROUNDINGS = """
grep -E '^(Umask|SigBlk|NoNewPrivs|Cpus_allowed):' /proc/self/status; ulimit -a; nice
echo $(( 0x$(sed -n 's/^SigIgn:[^0-9a-f]*//p' /proc/self/status) & 0x7fffffff ))
"""
"""Signals 32 and 33 are the C library's own, which ignores them in all that posix_spawn(3) starts, as make does."""


def measured(*argv: str) -> list[str]:
    return [sys.executable, "-c", MEASURED, *argv]


def output(argv: list[str], cwd: Path, setup: Callable[[], None] | None = None, fds: tuple[int, ...] = ()) -> str:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        argv, cwd=cwd, env=environ, preexec_fn=setup, pass_fds=fds, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


# --- what is inherited ---


def narrow() -> None:
    import resource

    os.umask(0o027)
    os.nice(3)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for limit, value in ((resource.RLIMIT_NOFILE, 333), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_STACK, 4 << 20)):
        resource.setrlimit(limit, (value, value))


def under_nohup() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def with_signals_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM})


@pytest.mark.first
@pytest.mark.parametrize("setup", [None, narrow, under_nohup, with_signals_blocked])
def test_umask_limits_niceness_cpus_and_signals_are_those_that_autotune_was_started_with(
    tmp_path: Path, setup: Callable[[], None] | None
) -> None:
    asked = ["sh", "-c", SURROUNDINGS]
    assert output(measured(*asked), tmp_path, setup) == output(asked, tmp_path, setup)


def with_ended_children_ignored() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def test_a_run_is_measured_even_where_autotune_was_started_with_ended_children_ignored(tmp_path: Path) -> None:
    assert output(measured("echo", "ran"), tmp_path, with_ended_children_ignored) == "ran\n"


def test_descriptors_above_2_are_inherited_under_their_numbers_and_no_others(tmp_path: Path) -> None:
    def opened() -> None:
        os.dup2(os.open(tmp_path / "in", os.O_RDONLY), 7)
        os.dup2(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 9)

    (tmp_path / "in").write_text("from 7\n")
    listed = ["sh", "-c", "ls /proc/self/fd; cat <&7; echo written >&9"]
    for argv in (listed, measured(*listed)):
        seen = output(argv, tmp_path, opened, fds=(7, 9))
        assert seen.split() == ["0", "1", "2", "3", "7", "9", "from", "7"]  # 3 is that of ls
        assert (tmp_path / "log").read_text() == "written\n"
        (tmp_path / "log").unlink()


# --- make's jobserver ---


SUB = """
all: one two three
one two three:
\t@touch $@; for i in $$(seq 400); do [ -e one -a -e two -a -e three ] && exit 0; sleep 0.05; done; exit 1
.PHONY: all one two three
"""
"""Its jobs end well only when all three run at the same time."""


def make(top: Path, recipe: str, *options: str) -> subprocess.CompletedProcess[str]:
    (top / "Makefile").write_text(f"all:\n\t{recipe}\n")
    (top / "sub.mk").write_text(SUB)
    (top / "measured.py").write_text(MEASURED)
    environ = {name: value for name, value in os.environ.items() if "MAKE" not in name and name != "MFLAGS"}
    environ["PYTHONPATH"] = str(ROOT)
    return subprocess.run(["make", *options], cwd=top, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.slow
@pytest.mark.parametrize("inner", ["make -f sub.mk", "sh -c 'make -f sub.mk'", "sh -c 'exec 8>other; make -f sub.mk'"])
def test_a_make_under_make_shares_its_jobs(tmp_path: Path, inner: str) -> None:
    done = make(tmp_path, f"+{sys.executable} measured.py {inner}", "-j3")
    assert done.returncode == 0, done.stderr
    assert "jobserver" not in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_token_of_the_jobserver_is_there_again_after_each_run(tmp_path: Path) -> None:
    """Two runs one after the other: the second would have fewer jobs if the first had kept any."""
    twice = f"{sys.executable} measured.py make -f sub.mk"
    done = make(tmp_path, f"+{twice} && rm -f one two three && {twice}", "-j3")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_without_the_mark_in_the_recipe_it_is_what_it_is_by_hand(tmp_path: Path) -> None:
    """Make then keeps its jobserver to itself: its descriptors are closed, and no file of ours takes their place."""
    for command in ("sh -c 'ls /proc/self/fd'", f"{sys.executable} measured.py sh -c 'ls /proc/self/fd'"):
        done = make(tmp_path, f"@{command}", "-j3")
        assert done.stdout.split() == ["0", "1", "2", "3"], done.stderr


# --- what setup and prepare leave running ---


SERVER = "trap 'echo ended >> {log}; exit' TERM; echo up >> {log}; while :; do sleep 0.05; done"
"""Stands for a database server: runs until it is told to end, and says so."""


class Session:
    """A whole session on this host, with real commands; only the switching of schedulers is played."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.log = top / "log"
        self.work = top / "work"
        self.work.mkdir()
        self.log.touch()
        self.heard: list[Event] = []

    def server(self, name: str = "server", how: str = "{} &") -> str:
        program = self.top / f"{name}.sh"
        program.write_text(SERVER.format(log=self.log))
        return how.format(f"sh {program}")

    def run(
        self, command: str, *, pristine: bool = False, shell: tuple[str, ...] | None = None, **workload: Any
    ) -> SessionRecord:
        argv = tuple(command.split()) if shell == () else shell_argv(command, shell or ())
        with contextlib.closing(Hands(Place(str(self.work), pristine, invoking_identity()))) as machine:
            work = Workload(command, argv, str(self.work), ENV, pristine=pristine, **workload)
            options = SessionOptions(seed=1, min_rounds=2, max_rounds=2, most_pairs=4, warmup=0)
            return tune(work, SessionParts(machine, ListPlanner([["x"]]), self.heard.append, resolve), options)

    def lines(self) -> list[str]:
        return self.log.read_text().split()

    def warnings(self) -> list[str]:
        """Without those about how fast it was, which is the machine's matter."""
        said = [event.text for event in self.heard if isinstance(event, Warned)]
        return [text for text in said if "process" in text or "ended with" in text]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session(tmp_path)


IS_UP = "[ $(grep -c up ../log) -gt $(grep -c ended ../log) ]"
GETS_UP = f"until {IS_UP}; do sleep 0.01; done"
HOWS = ["{} &", "nohup {} >/dev/null 2>&1 &", "(setsid sh -c '{} &') &"]


@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
def test_what_setup_leaves_running_runs_until_after_cleanup(session: Session, how: str) -> None:
    cleanup = f"sleep 0.3; {IS_UP} && echo cleaned >> ../log"
    result = session.run(IS_UP, setup=f"{session.server(how=how)}\n{GETS_UP}", cleanup=cleanup)
    assert result.failure is None, result.failure
    assert all(trial.run.exit_code == 0 and trial.run.left_running == 0 for trial in result.trials)
    assert session.lines() == ["up", "cleaned", "ended"]
    assert session.warnings() == []


@pytest.mark.slow
def test_it_is_ended_without_a_cleanup_too_and_when_the_session_fails(session: Session) -> None:
    session.run(IS_UP, setup=f"{session.server()} {GETS_UP}")
    assert session.lines() == ["up", "ended"]
    with pytest.raises(WorkloadError):
        session.run("exit 3", setup=f"{session.server()} {GETS_UP}")
    assert session.lines() == ["up", "ended"] * 2


@pytest.mark.slow
def test_what_prepare_leaves_runs_until_after_its_run_and_is_not_counted_as_the_commands(session: Session) -> None:
    result = session.run(f"{IS_UP} && echo ran >> ../log", prepare=f"{session.server()} {GETS_UP}")
    assert result.failure is None, result.failure
    assert session.lines() == ["up", "ran", "ended"] * len(result.trials)
    assert [trial.run.left_running for trial in result.trials] == [0] * len(result.trials)
    assert session.warnings() == []


@pytest.mark.slow
def test_a_server_of_prepare_can_start_more_and_what_the_command_leaves_is_told_apart(session: Session) -> None:
    server = "while :; do [ -e go ] && { rm go; sleep 300 & sleep 301 & }; sleep 0.02; done"
    (session.top / "busy.sh").write_text(server)
    prepare, command = f"sh {session.top}/busy.sh &", "touch go; while [ -e go ]; do sleep 0.02; done; sleep 302 &"
    result = session.run(command, prepare=prepare)
    assert {trial.run.left_running for trial in result.trials} == {1}


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["setup", "prepare"])
def test_a_server_that_prints_without_end_is_neither_blocked_nor_ended_by_a_broken_pipe(
    session: Session, stage: str
) -> None:
    (session.top / "loud.sh").write_text("while :; do seq 2000; seq 2000 >&2; date +%s%N > beat; done")
    beats = 'a=$(cat beat); for i in $(seq 200); do [ "$(cat beat)" != "$a" ] && exit 0; sleep 0.05; done; exit 1'
    started: dict[str, Any] = {stage: f"sh {session.top}/loud.sh & sleep 0.3"}
    result = session.run(beats, **started)
    assert result.failure is None, result.failure
    assert all(trial.run.exit_code == 0 for trial in result.trials)


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", ["run", "cleanup", "prepare", "close"])
def test_a_server_that_ignores_sigterm_is_killed_when_its_time_is_over(ended_by: str) -> None:
    stubborn = "(trap '' TERM HUP INT; exec sleep 300) & echo $!"
    with Runner() as runner:
        server = int(runner.run(shell(stubborn, stage="prepare")).stdout.head)
        assert not is_gone(server)
        if ended_by != "close":
            assert runner.run(shell("true", stage=ended_by)).still_running == ()
            assert is_gone(server)
    assert is_gone(server)


@pytest.mark.slow
def test_what_setup_and_prepare_print_themselves_is_kept() -> None:
    """And not dropped with what their servers print later."""
    with Runner() as runner:
        for number in range(30):
            printed = runner.run(shell(f"sleep 300 & echo {number}", stage="prepare")).stdout.head
            assert printed == f"{number}\n"


@pytest.mark.slow
def test_it_ends_with_a_helper_that_is_killed() -> None:
    started = shell("sleep 300 & echo $!", stage="prepare")
    with Runner() as runner:
        server = int(runner.run(started).stdout.head)
        with pytest.raises(RunnerLost):
            runner.run(shell("kill -9 $PPID; sleep 300"))
        assert wait_until(lambda: is_gone(server), 30.0)


def test_what_cannot_be_ended_is_reported_once_with_its_number(session: Session) -> None:
    run = a_run(1.0, still_running=(4711,))
    remarks = Remarks(Workload("true", ("true",), "/"), session.heard.append)
    for _ in range(2):
        remarks.see_ended(run, "prepare")
    (text,) = session.warnings()
    assert "prepare left cannot be ended" in text
    assert "4711" in text


ABANDONED = """
import os, sys
from autotune.measure.client import Runner, shell_argv
from autotune.records import RunSpec
command = "sleep 300 & echo $!; setsid sleep 301 & echo $!"
run = Runner().run(RunSpec(shell_argv(command), "/", dict(os.environ), stage=sys.argv[1]))
print(run.stdout.head, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["setup", "prepare"])
def test_it_ends_when_autotune_itself_is_killed(tmp_path: Path, stage: str) -> None:
    argv, env = [sys.executable, "-c", ABANDONED, stage], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(argv, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    servers = [int(pid) for pid in done.stdout.split()]
    assert len(servers) == 2
    assert wait_until(lambda: all(is_gone(pid) for pid in servers), 30.0)


# --- conclude ---


@pytest.mark.slow
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("fails", [False, True])
def test_what_prepare_leaves_runs_until_after_conclude_where_there_is_one(
    session: Session, how: str, fails: bool
) -> None:
    """Also after a run that fails."""
    result = session.run(
        f"{IS_UP} && echo ran >> ../log; exit {int(fails)}",
        prepare=f"{session.server(how=how)} {GETS_UP}",
        conclude=f"{IS_UP} && echo concluded >> ../log",
        ignore_failure=fails,
    )
    assert result.failure is None, result.failure
    assert session.lines() == ["up", "ran", "concluded", "ended"] * len(result.trials)
    assert [trial.run.left_running for trial in result.trials] == [0] * len(result.trials)


@pytest.mark.slow
@pytest.mark.parametrize("left", ["sleep 300", "(trap '' TERM; while :; do sleep 1; done)", "setsid -f sleep 300"])
def test_what_the_command_leaves_is_ended_before_conclude_and_a_server_of_prepare_is_not(left: str) -> None:
    with Runner() as runner:
        server = int(runner.run(shell("sleep 300 & echo $!", stage="prepare")).stdout.head)
        ran = runner.run(shell(f"{left} & echo $!; sleep 0.2", keeps_prepared=True))
        assert ran.left_running >= 1
        assert ran.still_running == ()
        assert is_gone(int(ran.stdout.head.split()[0]))
        assert not is_gone(server)
        assert runner.run(shell(f"kill -0 {server}", stage="conclude")).exit_code == 0
        assert is_gone(server)


@pytest.mark.slow
def test_under_pristine_conclude_sees_the_files_of_its_run(session: Session) -> None:
    _needs_overlays(session.work)
    result = session.run("echo $$ > made", pristine=True, conclude="cat made >> ../log")
    assert result.failure is None, result.failure
    assert len(set(session.lines())) == len(result.trials)
    assert not (session.work / "made").exists()


# --- which shell ---


@pytest.mark.slow
def test_the_chosen_shell_runs_the_command_and_those_around_it(session: Session) -> None:
    line = 'echo "$0 ${BASH_VERSION:+bash}" >> ../log'
    result = session.run(line, shell=("bash", "--norc"), setup=line, prepare=line, conclude=line, cleanup=line)
    assert result.failure is None, result.failure
    assert session.lines() == ["bash"] * 2 * (3 * len(result.trials) + 2)


@pytest.mark.slow
def test_no_shell_runs_the_command_itself_and_sh_those_around_it(session: Session) -> None:
    result = session.run("printf %s $HOME", shell=(), prepare="echo $0 >> ../log")
    assert {trial.run.stdout.head for trial in result.trials} == {"$HOME"}
    assert set(session.lines()) == {"sh"}


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_background_job_is_explained_as_its_shell_reads_it(session: Session, shell: str) -> None:
    session.run("sleep 300 &> log" if shell == "sh" else "sleep 300 & true &> log", shell=(shell,))
    (said,) = session.warnings()
    assert ("write '> FILE 2>&1'" in said) == (shell == "sh")
    assert f"one argument is run by {shell}" in said


# --- pristine runs and setup ---


@pytest.mark.slow
def test_what_setup_writes_is_there_in_every_pristine_run_and_what_a_run_changes_of_it_is_not(session: Session) -> None:
    _needs_overlays(session.work)
    command = "cat made && echo more >> made && [ $(wc -l < made) = 3 ]"
    result = session.run(
        command, pristine=True, setup="echo made > made", prepare="echo prepared >> made", cleanup="cp made ../cleaned"
    )
    assert result.failure is None, result.failure
    assert {trial.run.stdout.head for trial in result.trials} == {"made\nprepared\n"}
    assert (session.work / "made").read_text() == (session.top / "cleaned").read_text() == "made\n"


def _needs_overlays(work: Path) -> None:
    try:
        Runner(invoking_identity(), pristine=PristineSpec(str(work), str(work.parent))).close()
    except AutotuneError as error:
        pytest.skip(str(error))


# --- a command that is not done when it returns ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("sleep 300 &> log", "where '&> FILE' starts a background job: write '> FILE 2>&1'"),
        ("sleep 300 & echo started", "where '&' starts a background job: leave it out, or end the command with 'wait'"),
        ("setsid -f sleep 300 2>&1", "one argument is run by sh; let it wait for them"),
    ],
)
def test_a_command_that_returns_before_its_work_is_done_is_warned_of_once(
    session: Session, command: str, advice: str
) -> None:
    result = session.run(command)
    (said,) = session.warnings()
    assert "1 process" in said
    assert "only the time until then was measured" in said
    assert advice in said
    assert said in json_document.session_json(result)["warnings"]
    assert said[:60] in markup.markdown(result)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["sleep 0.05 & wait", "sleep 0.05 && true", "(sleep 0.05 &) ; sleep 0.2"])
def test_a_command_that_waits_for_its_work_is_not(session: Session, command: str) -> None:
    session.run(command)
    assert session.warnings() == []


# --- --ignore-failure ---


@pytest.mark.slow
@pytest.mark.parametrize("end", ["exit $((n % 3))", "[ $((n % 2)) = 0 ] || kill -KILL $$"])
def test_failing_runs_count_on_both_sides_or_on_none(session: Session, end: str) -> None:
    command = f"n=$(cat n 2>/dev/null || echo 0); echo $((n + 1)) > n; {end}"
    result = session.run(command, ignore_failure=True)
    assert {trial.candidate for trial in result.trials} == {"eevdf", "x"}
    assert [trial.invalid for trial in result.trials] == [None] * len(result.trials)


def test_an_end_that_only_a_candidate_has_is_warned_of(session: Session) -> None:
    ends = {"eevdf": 1, "x": 139}
    remarks = Remarks(Workload("f", ("f",), "/", ignore_failure=True), session.heard.append)
    for key in ("eevdf", "x", "eevdf", "x"):
        remarks.see(sessions.trial(key, run=a_run(1.0, ends[key])))
    (said,) = session.warnings()
    assert "under x a run ended with exit code 139" in said


# --- whose environment it has ---


BY_SUDO = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "MAIL": "/var/mail/root", "PATH": os.environ["PATH"]}


@needs_root
@pytest.mark.parametrize("by", ["SUDO_UID", "PKEXEC_UID", "DOAS_USER"])
def test_as_another_user_a_command_has_that_users_home_and_names(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    nobody = pwd.getpwuid(NOBODY)
    own = {by: str(NOBODY) if by.endswith("UID") else nobody.pw_name, "SUDO_COMMAND": "autotune cc"}
    of_root = {"XDG_CACHE_HOME": "/root/cache", "XDG_RUNTIME_DIR": "/run/user/0", "SHELL": pwd.getpwuid(0).pw_shell}
    monkeypatch.setenv(by, own[by])
    env = invoking_environment({**BY_SUDO, **of_root, **own, "EDITOR": "vi"})
    with Runner(invoking_identity()) as runner:
        shown = runner.run(shell("id -u; printenv HOME USER LOGNAME SHELL MAIL EDITOR; env", env=env)).stdout.head
    home, name, sh = nobody.pw_dir, nobody.pw_name, nobody.pw_shell
    assert shown.splitlines()[:7] == [str(NOBODY), home, name, name, sh, f"/var/mail/{name}", "vi"]
    assert not [line for line in shown.splitlines() if "root" in line.partition("=")[2].replace(BY_SUDO["PATH"], "")]
    assert "SUDO" not in shown
    assert "XDG" not in shown


@needs_root
def test_what_the_user_kept_or_set_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    own = {"HOME": str(tmp_path), "USER": "me", "SHELL": "/bin/zsh", "XDG_RUNTIME_DIR": str(tmp_path)}
    own |= {"XDG_CACHE_HOME": "/rooted/cache", "LOGNAME": "me", "PATH": os.environ["PATH"]}
    assert invoking_environment(own) == own


@pytest.mark.parametrize("uid", ["0", ""])
def test_whoever_runs_it_as_root_on_purpose_keeps_roots_environment(monkeypatch: pytest.MonkeyPatch, uid: str) -> None:
    monkeypatch.setenv("SUDO_UID", uid)
    assert invoking_environment(BY_SUDO) == BY_SUDO


@needs_root
def test_the_command_line_hands_on_that_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**BY_SUDO, "SUDO_UID": str(NOBODY), "SUDO_USER": "nobody"}.items():
        monkeypatch.setenv(name, value)
    env = workload_from(CcArguments(command=["true"])).env
    assert (env["HOME"], env["USER"], "SUDO_USER" in env) == (pwd.getpwuid(NOBODY).pw_dir, "nobody", False)


@needs_root
def test_root_by_sudo_leaves_no_files_of_its_own_in_the_users_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    roots, users = tmp_path / "root", tmp_path / "user"
    for home in (roots, users):
        home.mkdir()
    os.chown(users, NOBODY, NOBODY)
    places = (resources.cache_dir, resources.state_dir, resources.data_dir)
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    monkeypatch.setenv("HOME", str(users))
    assert not [place() for place in places if place().is_relative_to(users)]
    monkeypatch.setenv("XDG_STATE_HOME", str(users / "state"))
    assert not resources.state_dir().is_relative_to(users)
    monkeypatch.setenv("XDG_STATE_HOME", str(roots / "state"))
    assert resources.state_dir() == roots / "state" / "autotune", "what belongs to root is used as given"
    monkeypatch.delenv("SUDO_UID")
    monkeypatch.setenv("XDG_STATE_HOME", str(users / "state"))
    assert resources.state_dir() == users / "state" / "autotune", "root that is nobody's sudo does as it is told"
