# SPDX-License-Identifier: MIT
"""A command under `autotune run` is the command itself: what it finds, what it prints, how it stops and how it ends, at
a real terminal and in scripts; and nothing that is wrong with autotune keeps it from running.

What is applied, and shared by several, is shown in a real kernel: tests/vm/test_host_mode.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autotune.knowledge import best, uses
from autotune.records import Candidate, Parameter, point_text
from tests.support import sessions, tuned
from tests.support.person import Person, at_terminal
from tests.support.run_specs import wait_until

ROOT = Path(__file__).resolve().parents[2]
SURROUNDINGS = """
grep -E '^(Umask|SigBlk|SigIgn|NoNewPrivs|Cpus_allowed|NSpid):' /proc/self/status | sed s/NSpid.*//; ulimit -a; nice
ls -l /proc/self/fd | sed "s/.* \\\\([0-9]* ->\\\\)/\\\\1/; s/\\\\[.*//" | grep -v /proc/; pwd; echo "$@"
env -0 | tr "\\\\0\\\\n" "\\\\n "
"""
SECONDS = ["sleep", "0.3"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command `autotune` as it is installed."""
    top = tmp_path_factory.mktemp("installed")
    (top / "bin").mkdir()
    shutil.copy(ROOT / "scripts/launcher", top / "bin/autotune")
    (top / "bin/autotune").chmod(0o755)
    (top / "bin/python").symlink_to(sys.executable)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", top)
    (top / "lib").symlink_to(Path(sys.prefix) / "lib")
    return str(top / "bin/autotune")


class Here:
    """A directory in which `sleep 0.3` was tuned, and its store."""

    def __init__(self, top: Path, program: str) -> None:
        self.cwd = top / "work"
        self.cwd.mkdir()
        self.state = top / "state"
        self.store = tuned.keep(self.state, tuned.session(SECONDS, self.cwd, best_s=0.25))
        self.environ = tuned.environ(self.state, PATH=f"{Path(program).parent}:{os.environ['PATH']}")
        for name in [name for name in self.environ if "MAKE" in name or name == "MFLAGS"]:
            del self.environ[name]

    def run(
        self, *argv: str, environ: dict[str, str] | None = None, **changed: Any
    ) -> subprocess.CompletedProcess[str]:
        env = self.environ if environ is None else environ
        return subprocess.run(
            argv,
            cwd=self.cwd,
            env=env,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            **changed,
        )

    def shell(self, script: str, **changed: Any) -> subprocess.CompletedProcess[str]:
        return self.run("bash", "-c", script, **changed)

    def uses(self, number: int) -> list[dict[str, Any]]:
        """The noted runs, once there are as many."""
        assert wait_until(lambda: len(tuned.uses(self.store)) >= number, 20.0), tuned.uses(self.store)
        return tuned.uses(self.store)


@pytest.fixture
def here(tmp_path: Path, program: str) -> Here:
    return Here(tmp_path, program)


# --- what the command finds ------------------------------------------------------------------------------


def narrow() -> None:
    os.umask(0o027)
    os.nice(3)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, 4 << 20))


def ignoring() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGPIPE, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)


def blocking() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGTERM, signal.SIGINT})


@pytest.mark.parametrize("setup", [None, narrow, ignoring, blocking], ids=["as is", "narrow", "ignoring", "blocking"])
def test_it_finds_the_signals_limits_descriptors_arguments_and_environment_that_it_finds_by_hand(
    here: Here, setup: Callable[[], None] | None
) -> None:
    def prepare() -> None:
        os.dup2(os.open("/dev/zero", os.O_RDONLY), 7)
        if setup is not None:
            setup()

    asked = ["sh", "-c", SURROUNDINGS, "name", "", "a b", "\udcff", "--", "-v"]
    (alone, under) = (
        here.run(*words, *asked, preexec_fn=prepare, pass_fds=(7,), restore_signals=False)
        for words in ((), ("autotune", "run", "--"))
    )
    assert under.stdout == alone.stdout
    assert under.stderr == alone.stderr == ""
    assert under.returncode == alone.returncode == 0


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LC_ALL": "C", "PWD": "/nowhere", "OLDPWD": "/x", "SHLVL": "7", "_": "/x"},
        {"BASH_FUNC_f%%": "() { :\n}", "odd.name": "1", "self": "s", "name": "n", "python": "p", "top": "t"},
        {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PYTHONSTARTUP": "/nowhere", "AUTOTUNE_DEBUG": "1"},
    ],
    ids=["none", "stale", "odd", "python's"],
)
def test_it_finds_the_very_environment_whatever_that_is(here: Here, program: str, environ: dict[str, str]) -> None:
    whole = {"PATH": "/usr/bin:/bin", **environ} if environ else {}
    for launcher in (program, str(ROOT / "scripts/autotune")):
        done = here.run(launcher, "run", "--", "/usr/bin/env", "-0", environ=whole)
        assert dict(entry.split("=", 1) for entry in done.stdout.split("\0")[:-1]) == whole, done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_stay_closed(here: Here, closed: str) -> None:
    listed = "sh -c 'ls /proc/self/fd > seen'"
    alone, under = (
        (here.shell(f"{words}{listed} {closed}").returncode, (here.cwd / "seen").read_text())
        for words in ("", "autotune run -- ")
    )
    assert under == alone


def test_it_is_the_process_that_was_started_with_the_parent_that_it_has_by_hand(here: Here) -> None:
    done = here.shell('autotune run -- sh -c "echo \\$\\$ \\$PPID; exec sleep 0.1" & wait; echo $! $$')
    own, by_shell = done.stdout.splitlines()
    assert own == by_shell


# --- how it ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "code"),
    [("sh -c 'exit 3'", 3), ("sh -c 'kill -9 $$'", 137), ("sh -c 'kill -TERM $$'", 143), ("no-such-program", 127)],
)
def test_it_ends_as_by_hand(here: Here, command: str, code: int) -> None:
    assert here.shell(f"autotune run -- {command}; echo $?").stdout == f"{code}\n"


def test_what_cannot_be_started_is_said_in_one_line(here: Here) -> None:
    (here.cwd / "text").write_text("no program")
    (here.cwd / "script").write_text("echo ran $1")
    (here.cwd / "script").chmod(0o755)
    for command, code, said in (
        ("no-such-program", 127, "autotune: run: no-such-program: command not found\n"),
        ("./text", 126, "autotune: run: ./text: Permission denied\n"),
        ("./nothing/there", 127, "autotune: run: ./nothing/there: No such file or directory\n"),
    ):
        done = here.run("autotune", "run", "--", command)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", said)
    assert here.run("autotune", "run", "./script", "1").stdout == "ran 1\n", "as execvp(3) does it"


@pytest.mark.parametrize("words", [[], ["--"], ["-v"], ["--no-such-option", "true"]])
def test_a_command_line_without_a_command_is_refused_with_the_usage(here: Here, words: list[str]) -> None:
    done = here.run("autotune", "run", *words)
    assert done.returncode == 2
    assert "usage: autotune run [-v] [--require] [--] COMMAND" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_sent_to_it_is_sent_to_the_command(here: Here) -> None:
    script = "trap 'echo heard; exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    child = subprocess.Popen(
        ["autotune", "run", "--", "sh", "-c", script], env=here.environ, cwd=here.cwd, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGUSR1)
    assert child.stdout.read() == "heard\n"
    assert child.wait() == 5


# --- streams ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_100_mb_go_through_it_unharmed(here: Here, tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 100
    (tmp_path / "data").write_bytes(data)
    done = here.shell(f"cat {tmp_path}/data | autotune run -- cat | sha256sum")
    assert done.stdout.split()[0] == hashlib.sha256(data).hexdigest()


def test_a_reader_that_leaves_ends_it_as_by_hand(here: Here) -> None:
    done = here.shell("autotune run -- yes | head -1; echo ${PIPESTATUS[0]}")
    assert done.stdout.split() == ["y", "141"]


def beside(command: str) -> list[int]:
    """The processes that stand beside a command."""
    found = subprocess.run(["pgrep", "-f", f"run -- {command}$"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def files_of(pid: int) -> set[str]:
    """The files that a process has open, but for the one that stands for the command."""
    try:
        files = {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}
    except OSError:
        return set()
    return {name for name in files if "pidfd" not in name}


def test_what_stands_beside_it_is_no_child_and_has_none_of_its_files_its_terminal_or_its_directory(here: Here) -> None:
    tuned.keep(here.state, tuned.session(["sleep", "2"], here.cwd, best_s=1.75, id="0000feed"))
    script = "autotune run -- sleep 2 & until grep -q ^sleep /proc/$!/comm; do :; done; ps -o pid= --ppid $!; wait"
    done = subprocess.Popen(["bash", "-c", script], cwd=here.cwd, env=here.environ, stdout=subprocess.PIPE, text=True)
    seen: list[tuple[str, str]] = []

    def look() -> bool:
        """It closes its files first, and leaves the directory and the terminal a moment later."""
        for pid in beside("sleep 2"):
            if files_of(pid) == {"/dev/null"}:
                with contextlib.suppress(OSError):
                    terminal = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4]
                    seen.append((os.readlink(f"/proc/{pid}/cwd"), terminal))
        return ("/", "0") in seen

    assert wait_until(look, 10.0), f"{seen}: not in the root directory without a terminal"
    assert done.communicate()[0] == "", "the command has no child"
    assert wait_until(lambda: not beside("sleep 2"), 10.0)


def test_a_command_that_no_session_knows_has_nothing_beside_it(here: Here) -> None:
    child = subprocess.Popen(["autotune", "run", "--", "sleep", "1.25"], cwd=here.cwd, env=here.environ)
    assert wait_until(lambda: beside("sleep 1.25") == [], 1.0)
    assert child.wait() == 0
    assert tuned.uses(here.store) == []


# --- make's jobserver ------------------------------------------------------------------------------------


SUB = """
all: one two three
one two three:
\t@touch $@; for i in $$(seq 400); do [ -e one -a -e two -a -e three ] && exit 0; sleep 0.05; done; exit 1
.PHONY: all one two three
"""
"""Its jobs end well only when all three run at the same time."""


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("outer", ["make -j3", "autotune run -- make -j3"])
def test_a_make_under_make_shares_its_jobs(here: Here, outer: str) -> None:
    (here.cwd / "Makefile").write_text("all:\n\t+autotune run -- make -f sub.mk\n")
    (here.cwd / "sub.mk").write_text(SUB)
    done = here.shell(outer)
    assert done.returncode == 0, done.stderr
    assert "jobserver" not in done.stdout + done.stderr


def test_a_jobserver_that_is_a_named_pipe_keeps_its_tokens(here: Here) -> None:
    """As make 4.4 has it."""
    script = """
    mkfifo jobs && exec 8<>jobs && printf ++ >&8
    MAKEFLAGS=" -j3 --jobserver-auth=fifo:$PWD/jobs" autotune run -- sh -c '
        echo "$MAKEFLAGS"; exec 9<>jobs; dd bs=1 count=1 status=none <&9; printf + >&9'
    dd bs=1 count=2 status=none <&8
    """
    done = here.shell(script)
    assert done.stdout.splitlines() == [f" -j3 --jobserver-auth=fifo:{here.cwd}/jobs", "+++"], done.stderr


# --- at a terminal ---------------------------------------------------------------------------------------


@pytest.fixture(params=["bash --norc --noprofile -i", "dash -i"])
def shell(request: pytest.FixtureRequest, here: Here) -> Iterator[Person]:
    """A person at a shell with job control, in the directory where the command was tuned."""
    if shutil.which(request.param.split()[0]) is None:
        pytest.skip(f"needs {request.param}")
    (here.cwd / "again").write_text(
        "#!/bin/sh\ntrap 'echo interrupted; exit 9' INT\necho begun\nread line\necho $line\n"
    )
    (here.cwd / "again").chmod(0o755)
    tuned.keep(here.state, tuned.session(["./again"], here.cwd, id="0000beef"))
    environ = {**here.environ, "PS1": "$ ", "HISTFILE": "", "PWD": str(here.cwd), "ENV": ""}
    with at_terminal(request.param.split(), environ=environ, cwd=here.cwd) as person:
        person.waits_for("$")
        yield person


def test_ctrl_c_ends_it_as_by_hand(shell: Person) -> None:
    shell.types("autotune run -- ./again; echo code $?\n")
    shell.waits_for("begun")
    shell.types("\x03")
    shell.waits_for("interrupted")
    shell.waits_for("code 9")
    shell.types("autotune run -- sh -c 'echo asleep; exec sleep 300'\n")
    shell.waits_for("asleep")
    shell.types("\x03")
    shell.waits_for("^C")
    shell.types("echo was $?\n")
    shell.waits_for("was 130")


def test_ctrl_z_stops_it_and_fg_goes_on_with_its_input(shell: Person) -> None:
    shell.types("autotune run -- ./again\n")
    shell.waits_for("begun")
    shell.types("\x1a")
    shell.waits_for("run -- ./again", times=2)  # the shell says that it is stopped
    assert any("Stopped" in line for line in shell.seen())
    shell.waits_for("$")  # what is typed before would stand in the line that is waited for
    shell.types("fg\n")
    shell.waits_for("run -- ./again", times=3)
    shell.types("a line\n")
    shell.waits_for("a line", times=2)
    shell.types("echo code $?\n")
    shell.waits_for("code 0")


def test_it_has_the_terminal_and_is_told_of_another_size(shell: Person) -> None:
    shell.types("autotune run -- sh -c 'trap \"stty size; exit\" WINCH; stty size; while :; do sleep 0.1; done'\n")
    shell.waits_for("30 100")
    shell.resizes(77, 22)
    shell.waits_for("22 77")


def test_a_function_and_an_alias_stand_for_it(shell: Person) -> None:
    shell.types('printf() { autotune run -- printf "<%s>" "$@"; }\n')
    shell.types("alias say='autotune run -- echo said'\n")
    shell.types("printf a 'b c'; echo; say 'd  e'\n")
    shell.waits_for("<a><b c>")
    shell.waits_for("said d  e")


# --- what is noted ---------------------------------------------------------------------------------------


def test_each_run_is_noted_after_it_is_over_with_its_time_and_how_it_ended(here: Here) -> None:
    assert here.run("autotune", "run", "--", *SECONDS).returncode == 0
    here.uses(1)
    here.shell("autotune run -- sleep 0.3 & until grep -q ^sleep /proc/$!/comm; do :; done; kill -9 $!; wait")
    first, second = here.uses(2)
    assert (first["key"], first["status"], first["lost"]) == ("eevdf", 0, None)
    assert 0.3 <= first["wall_s"] < 5.0
    assert second["status"] == -9


def test_nothing_is_noted_of_what_was_not_tuned_here(here: Here, tmp_path: Path) -> None:
    here.run("autotune", "run", "--", "sleep", "0.01")
    (tmp_path / "elsewhere").mkdir()
    subprocess.run(["autotune", "run", "--", *SECONDS], cwd=tmp_path / "elsewhere", env=here.environ, check=True)
    here.run("autotune", "run", "--", *SECONDS)
    assert len(here.uses(1)) == 1


def test_verbose_says_why_nothing_is_applied_and_how_long_it_took(here: Here) -> None:
    done = here.run("autotune", "run", "-v", "--", *SECONDS)
    began, ended = done.stderr.splitlines()
    assert began.startswith("autotune: the command just runs: ")
    assert ended.startswith("autotune: 0.")
    assert ended.endswith("; known are 0.25 s under at_fifo and 0.30 s under EEVDF")
    unknown = here.run("autotune", "run", "-v", "--", "sleep", "0.01").stderr
    assert "nothing better than EEVDF is known for it here" in unknown


def test_what_another_clone_of_the_project_found_is_used_and_said_and_noted(here: Here, tmp_path: Path) -> None:
    clones = [tmp_path / name for name in ("a", "b")]
    for top in clones:
        (top / ".git").mkdir(parents=True)
        (top / ".git/config").write_text('[remote "origin"]\nurl = https://example.org/me/thing.git\n')
    other = tuned.elsewhere(tuned.session(["sleep", "0.4"], clones[0], id="0000dead"), kernel="6.14.0-other")
    tuned.keep(here.state, other)
    words = ["autotune", "run", "-v", "--", "sleep", "0.4"]
    done = subprocess.run(words, cwd=clones[1], env=here.environ, capture_output=True, text=True, check=True)
    assert f"at_fifo was best in another clone, {clones[0]}, but the kernel was 6.14.0-other" in done.stderr
    assert here.uses(1)[0]["key"] == "eevdf"


def test_a_command_that_a_session_tried_with_parameters_is_known(here: Here) -> None:
    points = [(("time", value),) for value in ("0.4", "0.5")]
    one = tuned.session(["sleep", "{time}"], here.cwd, won=Candidate("at_fifo", params=points[0]), id="0000dead")
    baselines = [sessions.result(Candidate("eevdf", params=point), None) for point in points]
    trials = [replace(one.trials[0], candidate=f"eevdf {point_text(points[0])}"), *one.trials[1:]]
    work = replace(one.workload, parameters=(Parameter("time", ("0.4", "0.5")),))
    tuned.keep(here.state, replace(one, workload=work, results=(one.results[0], *baselines), trials=tuple(trials)))
    said = here.run("autotune", "run", "-v", "--", "sleep", "0.4").stderr
    assert said.endswith("; known are 8.00 s under at_fifo time=0.4 and 9.60 s under EEVDF\n")
    here.run("autotune", "run", "--", "sleep", "0.5")
    assert [one["key"] for one in here.uses(2)] == ["eevdf time=0.4", "eevdf time=0.5"]


def test_a_result_of_another_kernel_is_not_applied_and_that_is_said(here: Here) -> None:
    other = tuned.session(["true"], here.cwd, id="0000dead")
    tuned.keep(here.state, tuned.elsewhere(other, kernel="6.14.0-other"))
    said = here.run("autotune", "run", "-v", "--", "true").stderr
    assert "the kernel was 6.14.0-other" in said
    assert "'autotune recheck'" in said


# --- whatever is wrong, it just runs ----------------------------------------------------------------------


def broken(here: Here) -> None:
    here.store.write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)


def newer(here: Here) -> None:
    with sqlite3.connect(here.store) as db:
        db.execute("PRAGMA user_version = 99")


def a_pipe(here: Here) -> None:
    here.store.unlink()
    os.mkfifo(here.store)


def a_directory(here: Here) -> None:
    here.store.unlink()
    here.store.mkdir()


def nowhere(here: Here) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        here.environ.pop(name, None)


def no_path(here: Here) -> None:
    here.environ["XDG_STATE_HOME"] = "/dev/null/state"


@pytest.mark.parametrize("wrong", [broken, newer, a_pipe, a_directory, nowhere, no_path])
def test_with_a_store_that_cannot_be_used_it_just_runs(here: Here, wrong: Callable[[Here], None]) -> None:
    wrong(here)
    done = here.run("autotune", "run", "--", "sh", "-c", "sleep 0.3; echo ran; exit 4")
    assert (done.returncode, done.stdout, done.stderr) == (4, "ran\n", "")
    done = here.run("autotune", "run", *SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_with_a_store_that_another_has_locked_it_just_runs_at_once(here: Here) -> None:
    db = sqlite3.connect(here.store, isolation_level=None)
    db.execute("PRAGMA journal_mode = DELETE")
    db.execute("BEGIN EXCLUSIVE")
    began_s = time.monotonic()
    done = here.run("autotune", "run", *SECONDS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - began_s < 5.0
    db.close()


LIMITS = {
    "descriptors": (resource.RLIMIT_NOFILE, 12),
    "file size": (resource.RLIMIT_FSIZE, 0),
    "memory": (resource.RLIMIT_DATA, 40 << 20),
}


@pytest.mark.parametrize("name", LIMITS)
def test_within_tight_limits_it_just_runs(here: Here, name: str) -> None:
    what, most = LIMITS[name]
    done = here.run("autotune", "run", *SECONDS, preexec_fn=lambda: resource.setrlimit(what, (most, most)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_a_set_up_checkout_it_just_runs(here: Here, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", checkout / "scripts", ignore=shutil.ignore_patterns("demo", "longtail"))
    script = shlex.quote(str(checkout / "scripts/autotune"))
    done = here.shell(f"{script} run -v -- sh -c 'echo ran; exit 3'; echo $?; {script} run echo 'a  b'")
    assert (done.stdout, done.stderr) == ("ran\n3\na  b\n", "")
    assert not (checkout / ".venv").exists()


# --- --require -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [broken, newer, no_path, lambda _here: None], ids=["broken", "newer", "none", "host"])
def test_require_turns_it_into_an_error_before_the_command_starts(here: Here, wrong: Callable[[Here], None]) -> None:
    wrong(here)
    if os.path.exists("/sys/kernel/sched_ext"):
        pytest.skip("this kernel has sched_ext")
    done = here.run("autotune", "run", "--require", "--", "touch", "started")
    assert done.returncode == 1
    assert done.stderr.startswith("autotune: run: --require: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (here.cwd / "started").exists()


def test_the_store_that_is_read_is_the_one_that_sessions_write() -> None:
    from autotune.knowledge import sqlite

    assert len(sqlite.MIGRATIONS) == best.STORE_VERSION


def test_history_says_when_a_known_best_is_none_any_more(here: Here) -> None:
    db = uses.opened(str(here.store))
    assert db is not None
    for _ in range(uses.DRIFT_RUNS):
        uses.record(db, uses.workloads_of(db, SECONDS, str(here.cwd))[0].workload, uses.Use("at_fifo", 0.9, 0))
    db.close()
    said = " ".join(here.run("autotune", "history").stdout.split())
    assert "sleep 0.3: its last 5 runs under at_fifo took 0.90 s, not less than the 0.30 s under EEVDF" in said
    assert "'autotune recheck'" in said
