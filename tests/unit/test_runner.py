# SPDX-License-Identifier: MIT
"""A measured run, whatever the command does: real commands, real faults, through the helper process as in use."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AutotuneError, Interrupted, PrivilegeError, RunnerLost, UsageError
from autotune.measure import client as measure_client
from autotune.measure import descendants
from autotune.measure.client import Runner, shell_argv
from autotune.records import Identity, Run, RunSpec
from autotune.runner import CANCEL_GRACE_S, SPEC_DEFAULTS

ROOT = str(Path(__file__).resolve().parents[2])
PATH = "/usr/local/bin:/usr/bin:/bin"
NOBODY = 65534
SYSTEM_PYTHON = shutil.which("python3", path="/usr/bin:/bin")
SCHED_EXT = Path("/sys/kernel/sched_ext").exists()

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a command as somebody else")


@pytest.fixture(scope="module")
def shared() -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


@pytest.fixture
def runner() -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


def spec(*argv: str, cwd: str | Path = "/", **fields: Any) -> RunSpec:
    return RunSpec(argv, str(cwd), fields.pop("env", {"PATH": PATH}), **fields)


def shell(command: str, **fields: Any) -> RunSpec:
    return spec(*shell_argv(command), **fields)


def python(code: str, **fields: Any) -> RunSpec:
    return spec(measure_client.helper_python(), "-S", "-E", "-c", code, **fields)


def is_gone(pid: int) -> bool:
    """Ended; a zombie that its new parent has not reaped yet counts."""
    return all(process.pid != pid or process.state == "Z" for process in descendants.processes())


def wait_until(what: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.01)
    return what()


# --- what a run shows ---


def test_output_and_success(shared: Runner) -> None:
    run = shared.run(shell("echo out; echo err >&2"))
    assert (run.stdout.head, run.stderr.head) == ("out\n", "err\n")
    assert (run.exit_code, run.signal, run.timed_out, run.start_error) == (0, None, False, None)
    assert run.left_running == 0


def test_failure_is_a_result(shared: Runner) -> None:
    run = shared.run(shell("exit 3"))
    assert (run.exit_code, run.signal) == (3, None)


def test_the_signal_that_ended_it_is_told(shared: Runner) -> None:
    run = shared.run(shell("kill -SEGV $$"))
    assert (run.exit_code, run.signal) == (None, signal.SIGSEGV)


def test_no_output_is_empty_output(shared: Runner) -> None:
    run = shared.run(spec("true"))
    assert (run.stdout.total_bytes, run.stdout.head, run.stderr.tail) == (0, "", "")


def test_wall_time_is_that_of_the_command(shared: Runner) -> None:
    began = time.monotonic()
    run = shared.run(spec("sleep", "0.2"))
    assert 0.2 <= run.wall_s < time.monotonic() - began


def test_cpu_time_faults_and_switches_are_the_commands_own(shared: Runner) -> None:
    busy = shared.run(python("import time\nwhile time.process_time() < 0.3: pass"))
    idle = shared.run(spec("sleep", "0.05"))
    assert 0.3 <= busy.user_s + busy.system_s < busy.wall_s + 0.02  # one thread
    assert idle.user_s + idle.system_s < 0.3  # nothing adds up from run to run
    assert idle.voluntary_switches >= 1
    assert busy.minor_faults > idle.minor_faults > 0


def test_cpu_time_includes_reaped_children(shared: Runner) -> None:
    code = "import time\nwhile time.process_time() < 0.2: pass"
    run = shared.run(shell(f"'{measure_client.helper_python()}' -S -E -c '{code}'; true"))
    assert run.user_s + run.system_s >= 0.2


@pytest.mark.slow
def test_peak_memory_is_each_commands_own(shared: Runner) -> None:
    """The maximum of RUSAGE_CHILDREN would read 313 for the third as well."""
    peaks = [shared.run(python(f"bytearray({size} << 20)")).max_rss_bytes >> 20 for size in (14, 305, 15)]
    assert 14 <= peaks[0] <= 40
    assert 305 <= peaks[1] <= 330
    assert 15 <= peaks[2] <= 40


@pytest.mark.slow
def test_peak_memory_does_not_remember_what_the_helper_once_needed(runner: Runner) -> None:
    runner.run(shell("yes | tr -d '\\n' | head -c 40M", keep_bytes=30 << 20))
    assert helper_peak_kib(runner) > 60 << 10
    assert runner.run(spec("true")).max_rss_bytes < 30 << 20


def test_the_answer_has_every_field_of_a_run() -> None:
    """The helper builds no record; this holds its dictionary to the record's fields."""
    with Runner() as runner:
        request = {"argv": ["true"], "cwd": "/", "env": {"PATH": PATH}}
        answer = runner._worker.request("run", timeout_s=10, spec=request)
        assert set(answer) == {field.name for field in dataclasses.fields(Run)}


def test_defaults_of_a_spec_are_those_of_the_record() -> None:
    fields = dataclasses.fields(RunSpec)
    assert {f.name: f.default for f in fields if f.default is not dataclasses.MISSING} == SPEC_DEFAULTS


def test_a_snapshot_comes_from_the_helper(shared: Runner) -> None:
    before = shared.snapshot()
    shared.run(spec("true"))
    after = shared.snapshot()
    assert after.forks > before.forks
    assert after.at_s > before.at_s


# --- its surroundings ---


def test_argv_is_given_as_it_is(shared: Runner) -> None:
    run = shared.run(spec("printf", "[%s]", "a b", "$HOME", "*", "ä", ""))
    assert run.stdout.head == "[a b][$HOME][*][ä][]"


def test_names_that_are_not_utf8_pass(shared: Runner, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    (tmp_path / name).mkdir()
    run = shared.run(shell('pwd; printf %s "$0$X"', env={"PATH": PATH, "X": name}, cwd=tmp_path / name))
    assert run.stdout.head.endswith("\\xff\\xfe\nsh\\xff\\xfe")


def test_the_environment_is_the_one_given_and_nothing_else(shared: Runner) -> None:
    run = shared.run(spec("env", env={"PATH": PATH, "A": "1"}))
    assert sorted(run.stdout.head.splitlines()) == ["A=1", f"PATH={PATH}"]


def test_the_directory_is_the_one_given(shared: Runner, tmp_path: Path) -> None:
    assert shared.run(spec("pwd", cwd=tmp_path)).stdout.head == f"{tmp_path}\n"


def test_standard_input_is_empty_unless_given(shared: Runner, tmp_path: Path) -> None:
    assert shared.run(spec("cat", timeout_s=5)).stdout.total_bytes == 0
    (tmp_path / "input").write_text("from a file")
    for path in (str(tmp_path / "input"), "input"):
        assert shared.run(spec("cat", stdin_path=path, cwd=tmp_path)).stdout.head == "from a file"


def test_it_has_a_session_of_its_own_default_signals_and_no_other_files(shared: Runner) -> None:
    session = shared.run(shell("cut -d' ' -f1,5,6 /proc/self/stat; echo $$")).stdout.head.split()
    assert session[1] == session[2] == session[3]
    seen = shared.run(shell("grep -E 'Sig(Ign|Blk|Cgt)' /proc/self/status; ls /proc/self/fd"))
    masks = {line.split(":")[0]: int(line.split()[1], 16) for line in seen.stdout.head.splitlines() if ":" in line}
    libc_own = 0b11 << 31  # glibc leaves its two internal signals ignored in what it spawns
    assert masks["SigIgn"] & ~libc_own == masks["SigBlk"] == 0
    assert seen.stdout.head.split()[-4:] == ["0", "1", "2", "3"]  # 3 is the listing itself


def test_a_broken_pipe_ends_a_command_within_it_as_usual(shared: Runner) -> None:
    assert shared.run(shell("yes | head -n1", timeout_s=5)).stdout.head == "y\n"


# --- commands that cannot be started ---


def test_a_command_that_does_not_exist(shared: Runner) -> None:
    run = shared.run(spec("no-such-command"))
    assert run.start_error == "no-such-command: command not found"
    assert (run.exit_code, run.signal, run.wall_s) == (None, None, 0.0)


def test_a_program_file_that_does_not_exist(shared: Runner) -> None:
    assert shared.run(spec("/nonexistent/program")).start_error == "/nonexistent/program: No such file or directory"


def test_a_file_that_is_no_program(shared: Runner, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    error = "plain: Permission denied"
    assert shared.run(spec("./plain", cwd=tmp_path)).start_error == f"./{error}"
    assert shared.run(spec("plain", env={"PATH": str(tmp_path)})).start_error == error
    assert shared.run(spec(str(tmp_path))).start_error == f"{tmp_path}: Permission denied"


def test_a_script_without_an_interpreter_line_goes_to_the_shell(shared: Runner, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "$0 $1"')
    script.chmod(0o755)
    assert shared.run(spec("./script", "x", cwd=tmp_path)).stdout.head == "./script x\n"


def test_programs_are_searched_in_the_commands_own_path(shared: Runner, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text(f"#!/bin/sh\necho {name}\n")
    (tmp_path / "second" / "tool").chmod(0o755)
    env = {"PATH": f"/nonexistent:{tmp_path}/first:{tmp_path}/second"}
    assert shared.run(spec("tool", env=env)).stdout.head == "second\n"
    assert shared.run(spec("true", env={"PATH": str(tmp_path)})).start_error == "true: command not found"
    assert shared.run(spec("true", env={})).exit_code == 0  # the system's default path


@pytest.mark.parametrize("argv", [(), ("",)])
def test_an_empty_command(shared: Runner, argv: tuple[str, ...]) -> None:
    assert shared.run(spec(*argv)).start_error == "the command is empty"


def test_an_argument_that_no_program_can_get(shared: Runner) -> None:
    assert "null" in (shared.run(spec("echo", "a\0b")).start_error or "")
    assert shared.run(spec("echo", "x" * (1 << 22))).start_error == "echo: Argument list too long"


def test_a_directory_or_an_input_that_is_not_there(shared: Runner, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    reason = f"{gone}: No such file or directory"
    assert shared.run(spec("true", cwd=gone)).start_error == f"cannot enter the directory {reason}"
    assert shared.run(spec("true", stdin_path=str(gone))).start_error == f"cannot read the input {reason}"


@needs_root
def test_a_directory_without_permission(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Runner(Identity(NOBODY, NOBODY)) as runner:
        error = runner.run(spec("true", cwd=closed)).start_error
        assert error == f"cannot enter the directory {closed}: Permission denied"
        assert runner.run(spec("true")).exit_code == 0


def test_an_expression_that_is_none_starts_nothing(shared: Runner, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a regular expression"):
        shared.run(shell("touch started", cwd=tmp_path, metric_regex="(["))
    assert not (tmp_path / "started").exists()


# --- output of every kind ---


def test_much_output_is_kept_as_head_and_tail(shared: Runner) -> None:
    run = shared.run(shell("seq 1 100000", keep_bytes=100))
    assert run.stdout.head.startswith("1\n2\n3\n")
    assert run.stdout.tail.endswith("99999\n100000\n")
    assert run.stdout.total_bytes == 588895
    assert run.stdout.omitted_bytes == 588895 - 100


@pytest.mark.slow
def test_a_gigabyte_is_fine_and_memory_stays_bounded(runner: Runner) -> None:
    run = runner.run(shell("head -c 1G /dev/zero; head -c 1M /dev/zero >&2; echo end", metric_regex=r"e(n)d"))
    assert run.stdout.total_bytes == (1 << 30) + 4
    assert run.stdout.tail.endswith("\0end\n")
    assert run.stderr.total_bytes == 1 << 20
    assert helper_peak_kib(runner) < 64 << 10


def helper_peak_kib(runner: Runner) -> int:
    status = Path(f"/proc/{runner._worker.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def test_bytes_that_are_not_utf8_are_escaped(shared: Runner) -> None:
    assert shared.run(spec("printf", r"a\377\303b")).stdout.head == "a\\xff\\xc3b"


def test_both_streams_are_drained_at_once(shared: Runner) -> None:
    run = shared.run(shell("head -c 3M /dev/zero >&2; head -c 3M /dev/zero; head -c 3M /dev/zero >&2", timeout_s=20))
    assert (run.exit_code, run.stdout.total_bytes, run.stderr.total_bytes) == (0, 3 << 20, 6 << 20)


def test_a_command_may_close_its_pipes_early(shared: Runner) -> None:
    run = shared.run(shell("echo before; exec >&- 2>&-; sleep 0.2"))
    assert (run.stdout.head, run.exit_code) == ("before\n", 0)
    assert run.wall_s >= 0.2


def test_closed_pipes_do_not_make_the_helper_spin(runner: Runner) -> None:
    before_s = helper_cpu_s(runner)
    runner.run(shell("exec >&- 2>&-; sleep 0.4"))
    assert helper_cpu_s(runner) - before_s < 0.1


def helper_cpu_s(runner: Runner) -> float:
    fields = Path(f"/proc/{runner._worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_output_is_sent_on_as_it_comes(shared: Runner) -> None:
    seen: list[tuple[str, bytes, float]] = []
    run = shared.run(
        shell("printf 'a\\377'; sleep 0.3; printf b >&2", stream=True),
        lambda stream, data: seen.append((stream, data, time.monotonic())),
    )
    assert [(stream, data) for stream, data, _ in seen] == [("stdout", b"a\xff"), ("stderr", b"b")]
    assert seen[1][2] - seen[0][2] > 0.2
    assert run.stdout.head == "a\\xff"


def test_without_streaming_nothing_is_sent(shared: Runner) -> None:
    seen: list[bytes] = []
    shared.run(shell("echo a"), lambda _stream, data: seen.append(data))
    assert seen == []


def test_the_metric_is_found_in_the_whole_output_of_both_streams(shared: Runner) -> None:
    command = "seq 1 30000; echo score=1.5 >&2; seq 1 30000; sleep 0.05; echo score=2.5"
    run = shared.run(shell(command, keep_bytes=100, metric_regex=r"^score=([0-9.]+)$"))
    assert (run.metric_count, run.metric_matches) == (2, ("1.5", "2.5"))
    assert "score" not in run.stdout.head
    none = shared.run(shell("echo 1", metric_regex="score"))
    assert (none.metric_count, none.metric_matches) == (0, ())


# --- limits, and what is left behind ---


def test_a_command_that_hangs_is_ended(shared: Runner) -> None:
    run = shared.run(spec("sleep", "60", timeout_s=0.2))
    assert run.timed_out
    assert run.signal == signal.SIGTERM
    assert 0.2 <= run.wall_s < 60


def test_all_of_its_group_is_ended_and_output_until_then_is_kept(shared: Runner) -> None:
    run = shared.run(shell("sleep 60 & sleep 61 & echo $!; wait", timeout_s=0.5))
    assert run.timed_out
    assert wait_until(lambda: is_gone(int(run.stdout.head)), 20)


def test_it_may_tidy_up_on_sigterm(shared: Runner) -> None:
    run = shared.run(shell("trap 'echo tidy; exit 7' TERM; sleep 60 & wait", timeout_s=0.5))
    assert (run.timed_out, run.exit_code, run.stdout.head) == (True, 7, "tidy\n")


@pytest.mark.slow
def test_each_process_gets_sigterm_once(shared: Runner) -> None:
    code = "import signal, time\nsignal.signal(15, lambda *_: print('term', flush=True))\ntime.sleep(1)"
    assert shared.run(python(code, timeout_s=0.5)).stdout.head == "term\n"


@pytest.mark.slow
def test_who_ignores_sigterm_is_killed(shared: Runner) -> None:
    run = shared.run(shell("trap '' TERM; while :; do sleep 0.1; done", timeout_s=0.2))
    assert (run.timed_out, run.signal) == (True, signal.SIGKILL)
    assert run.wall_s >= 2.2


def test_a_stopped_command_is_ended_too(shared: Runner) -> None:
    run = shared.run(shell("kill -STOP $$", timeout_s=0.2))
    assert (run.timed_out, run.signal) == (True, signal.SIGTERM)


def test_who_left_the_session_is_ended_at_the_limit(shared: Runner) -> None:
    run = shared.run(shell("setsid sleep 60 & echo $!; sleep 61", timeout_s=0.3))
    assert run.timed_out
    assert wait_until(lambda: is_gone(int(run.stdout.head)), 20)


def test_time_within_the_limit_changes_nothing(shared: Runner) -> None:
    run = shared.run(spec("true", timeout_s=60))
    assert (run.timed_out, run.exit_code) == (False, 0)


def test_a_background_child_that_holds_the_output_delays_nothing_and_is_ended(shared: Runner) -> None:
    run = shared.run(shell("sleep 60 & echo $!"))
    assert run.wall_s < 60
    assert run.left_running == 1
    assert is_gone(int(run.stdout.head))


def test_a_daemon_that_left_the_session_twice_over_is_ended(shared: Runner, tmp_path: Path) -> None:
    daemon = "(setsid sh -c 'sleep 60 & echo $!; sleep 61 & touch ready; wait' &)"
    run = shared.run(shell(f"{daemon}; until test -e ready; do sleep 0.01; done", cwd=tmp_path))
    assert run.left_running == 3  # a shell in a session of its own, and its two sleeps
    assert is_gone(int(run.stdout.head))


def test_ending_what_is_left_adds_nothing_to_the_time(shared: Runner, tmp_path: Path) -> None:
    began = time.monotonic()
    deaf = "sh -c 'trap \"\" TERM; touch ready; sleep 60; sleep 60'"
    run = shared.run(shell(f"{deaf} & until test -e ready; do sleep 0.01; done", cwd=tmp_path))
    elapsed_s = time.monotonic() - began
    assert run.left_running >= 1
    assert elapsed_s - run.wall_s >= CANCEL_GRACE_S  # that one needed a SIGKILL


def test_a_writer_left_behind_does_not_keep_the_run_going(shared: Runner) -> None:
    run = shared.run(shell("yes & echo first", timeout_s=10))
    assert not run.timed_out
    assert run.left_running == 1
    assert run.stdout.total_bytes < 1 << 22


@pytest.mark.slow
def test_orphans_that_end_meanwhile_are_reaped_meanwhile(runner: Runner) -> None:
    done = shell("for i in 1 2 3 4 5 6 7 8 9; do (true & ) ; done; sleep 1.6", timeout_s=10)
    thread = threading.Thread(target=runner.run, args=(done,))
    thread.start()
    time.sleep(1.4)
    helper = runner._worker.process.pid
    zombies = [process for process in descendants.processes() if process.parent == helper and process.state == "Z"]
    thread.join()
    assert zombies == []


def test_nothing_of_one_run_is_left_in_the_next(shared: Runner) -> None:
    shared.run(shell("sleep 60 &"))
    assert shared.run(spec("true")).left_running == 0


# --- who asks goes away ---


def start_in_thread(runner: Runner, asked: RunSpec) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(runner.run(asked))
        except AutotuneError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def long_command(tmp_path: Path) -> RunSpec:
    """A tree of processes that writes its ids: in the session, in another one, and deaf to SIGTERM."""
    command = "sleep 60 & echo $! > a; setsid sleep 60 & echo $! > b; (trap '' TERM; sleep 61; sleep 62) & echo $! > c"
    return shell(f"{command}; echo $$ > d; touch ready; sleep 63", cwd=tmp_path)


def pids_of(tmp_path: Path) -> list[int]:
    assert wait_until((tmp_path / "ready").exists, 60)
    return [int((tmp_path / name).read_text()) for name in "abcd"]


def all_gone(pids: list[int]) -> Callable[[], bool]:
    return lambda: all(is_gone(pid) for pid in pids)


def test_a_run_can_be_cancelled_and_the_runner_goes_on(runner: Runner, tmp_path: Path) -> None:
    thread, results = start_in_thread(runner, long_command(tmp_path))
    pids = pids_of(tmp_path)
    runner.cancel()
    thread.join(2)
    assert isinstance(results[0], Interrupted)
    assert all_gone(pids)()
    assert runner.run(spec("true")).exit_code == 0


def test_a_cancelled_command_may_tidy_up(runner: Runner, tmp_path: Path) -> None:
    command = "trap 'echo tidy > tidied; exit' TERM; touch ready; sleep 60 & wait"
    thread, _ = start_in_thread(runner, shell(command, cwd=tmp_path))
    assert wait_until((tmp_path / "ready").exists, 60)
    runner.cancel()
    thread.join(2)
    assert (tmp_path / "tidied").exists()


def test_to_cancel_when_nothing_runs_is_nothing(runner: Runner) -> None:
    runner.cancel()
    assert runner.run(spec("true")).exit_code == 0


def test_closing_ends_what_is_going(runner: Runner, tmp_path: Path) -> None:
    thread, results = start_in_thread(runner, long_command(tmp_path))
    pids = pids_of(tmp_path)
    began = time.monotonic()
    runner.close()
    assert time.monotonic() - began < 30
    assert all_gone(pids)()
    thread.join(2)
    assert isinstance(results[0], RunnerLost)


@pytest.mark.slow
def test_an_interrupted_caller_can_go_on_or_close(runner: Runner, tmp_path: Path) -> None:
    """As Ctrl-C does it: the exception rises in the middle of the waiting."""
    before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            runner.run(long_command(tmp_path))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pids = pids_of(tmp_path)
    assert runner.run(spec("echo", "next")).stdout.head == "next\n"
    assert all_gone(pids)()


def fail() -> None:
    raise ZeroDivisionError


def test_a_listener_that_fails_ends_the_run(runner: Runner) -> None:
    with pytest.raises(ZeroDivisionError):
        runner.run(shell("echo a; sleep 60", stream=True), lambda _stream, _data: fail())
    began = time.monotonic()
    assert runner.run(spec("true")).exit_code == 0
    assert time.monotonic() - began < 30


def test_closing_while_nobody_takes_the_output_ends_the_command(tmp_path: Path) -> None:
    runner = Runner()
    asked = shell("echo $$ > pid; touch ready; exec yes", cwd=tmp_path, stream=True)
    runner._worker.peer.channel.send({"id": 99, "op": "run", "spec": dataclasses.asdict(asked)})
    assert wait_until((tmp_path / "ready").exists, 60)
    time.sleep(0.2)  # until every pipe is full
    began = time.monotonic()
    runner.close()
    assert time.monotonic() - began < 30
    assert is_gone(int((tmp_path / "pid").read_text()))


CLIENT = """
import json, sys
sys.path.insert(0, sys.argv[1])
from autotune.measure.client import Runner
from autotune.records import RunSpec; from autotune.wire import from_json
with Runner() as runner:
    print(runner._worker.process.pid, flush=True)
    runner.run(from_json(RunSpec, json.loads(sys.argv[2])))
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    asked = json.dumps(dataclasses.asdict(long_command(tmp_path)))
    argv = [sys.executable, "-S", "-c", CLIENT, ROOT, asked]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_sigkill_of_the_client_ends_helper_and_workload_within_a_second(
    client: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert client.stdout is not None
    helper = int(client.stdout.readline())
    pids = pids_of(tmp_path)
    client.kill()
    assert wait_until(all_gone([helper, *pids]), 20)


def test_a_helper_that_is_killed_is_lost_and_its_workload_ended(runner: Runner, tmp_path: Path) -> None:
    thread, results = start_in_thread(runner, shell("sleep 60 & echo $! > a; touch ready; wait", cwd=tmp_path))
    assert wait_until((tmp_path / "ready").exists, 60)
    os.kill(runner._worker.process.pid, signal.SIGKILL)
    thread.join(5)
    assert isinstance(results[0], RunnerLost)
    assert wait_until(all_gone([int((tmp_path / "a").read_text())]), 20)


def test_a_runner_that_was_lost_stays_lost(runner: Runner) -> None:
    os.kill(runner._worker.process.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(RunnerLost, match="the process that measures runs"):
            runner.run(spec("true"))
    runner.close()
    runner.close()


def test_the_helper_heeds_the_end_of_its_pipe_and_no_signal_of_a_terminal(runner: Runner) -> None:
    pid = runner._worker.process.pid
    assert os.getsid(pid) == pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert runner.run(spec("true")).exit_code == 0
    runner.close()
    assert is_gone(pid)


def test_many_runs_leave_no_descriptors_behind(runner: Runner) -> None:
    fds = Path(f"/proc/{runner._worker.process.pid}/fd")
    runner.run(spec("true"))
    before = len(list(fds.iterdir()))
    for index in range(20):
        runner.run(spec("true" if index % 2 else "no-such-command"))
        with contextlib.suppress(UsageError):
            runner.run(spec("true", metric_regex="("))
    assert len(list(fds.iterdir())) == before


def test_a_helper_without_an_interpreter_is_lost() -> None:
    with pytest.raises(RunnerLost, match="cannot be started"):
        Runner(python="/nonexistent/python")


# --- as whom, and under which policy ---


@needs_root
def test_the_workload_is_the_user_who_asked() -> None:
    with Runner(Identity(NOBODY, NOBODY, (NOBODY, 100))) as runner:
        run = runner.run(shell("id -u; id -g; id -G; grep -E '^Cap(Prm|Eff|Amb)' /proc/self/status"))
        lines = run.stdout.head.split()
        assert lines[:2] == [str(NOBODY), str(NOBODY)]
        assert set(lines[2:4]) == {str(NOBODY), "100"}
        assert {int(mask, 16) for mask in lines[5::2]} == {0}
        assert runner.run(spec("cat", "/proc/self/status", timeout_s=5)).exit_code == 0
        ended = runner.run(shell("setsid sleep 60 & sleep 61", timeout_s=0.2))
        assert ended.timed_out
        assert runner.run(spec("head", "-c1", "/etc/shadow")).exit_code == 1
    assert stat.S_IMODE(os.stat("/etc/shadow").st_mode) & 0o004 == 0


@needs_root
def test_the_helper_itself_is_that_user_and_not_root() -> None:
    with Runner(Identity(NOBODY, NOBODY)) as runner:
        status = Path(f"/proc/{runner._worker.process.pid}/status").read_text()
        assert f"Uid:\t{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}" in status


def test_ones_own_identity_needs_no_privilege() -> None:
    with Runner(Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))) as runner:
        assert runner.run(spec("id", "-u")).stdout.head == f"{os.geteuid()}\n"


@needs_root
@pytest.mark.skipif(SYSTEM_PYTHON is None, reason="no interpreter that an ordinary user can run")
def test_an_ordinary_user_cannot_run_commands_as_another() -> None:
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nfrom autotune.measure.client import Runner\n"
        "from autotune.errors import PrivilegeError\nfrom autotune.records import Identity\n"
        "try: Runner(Identity(0, 0))\nexcept PrivilegeError as error: print(error)"
    )
    ids = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    argv = [str(SYSTEM_PYTHON), "-S", "-c", code, ROOT]
    seen = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False, **ids)  # type: ignore[call-overload]
    assert seen.stdout.startswith("commands cannot be run as user 0"), seen.stderr
    assert PrivilegeError.exit_code == 1


@pytest.mark.skipif(SCHED_EXT, reason="this kernel has SCHED_EXT")
def test_without_sched_ext_in_the_kernel_partial_mode_is_a_clear_error(shared: Runner) -> None:
    with pytest.raises(AutotuneError, match="cannot be started under SCHED_EXT") as caught:
        shared.run(spec("true", policy_ext=True))
    assert "sched_ext" in caught.value.hint
    assert shared.run(spec("true")).exit_code == 0


@pytest.mark.skipif(not SCHED_EXT, reason="this kernel has no SCHED_EXT")
def test_with_sched_ext_only_the_command_is_under_it(shared: Runner) -> None:
    command = "cut -d' ' -f41 /proc/self/stat"
    assert shared.run(shell(command, policy_ext=True)).stdout.head == "7\n"
    assert shared.run(shell(command)).stdout.head == "0\n"
