# SPDX-License-Identifier: MIT
"""A measured run, whatever the command does: real commands, real faults, through the helper process as in use."""

from __future__ import annotations

import dataclasses
import os
import signal
import stat
import time
from pathlib import Path

import pytest

from autotune.errors import AutotuneError, UsageError
from autotune.measure import client as measure_client
from autotune.measure.client import Runner
from autotune.records import Identity, Run, RunSpec
from autotune.runner import SPEC_DEFAULTS
from tests.support.run_specs import NOBODY, PATH, SCHED_EXT, needs_root, python, shell, spec, wait_until
from tests.support.waiting import is_gone

# --- what a run shows ---


def test_output_and_success(shared: Runner) -> None:
    run = shared.run(shell("echo out; echo err >&2"))
    assert (run.stdout.head, run.stderr.head) == ("out\n", "err\n")
    assert (run.exit_code, run.signal, run.timed_out, run.start_error) == (0, None, False, None)
    assert run.left_running == 0


def test_failure_is_a_result(shared: Runner) -> None:
    run = shared.run(shell("exit 3"))
    assert (run.exit_code, run.signal) == (3, None)


def test_the_signal_that_ended_it_is_reported(shared: Runner) -> None:
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
    files = set(map(int, seen.stdout.head.split("\n", 3)[3].split()))
    assert len(files - {0, 1, 2, *measure_client.inherited_descriptors()}) == 1  # the listing itself


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
    status = Path(f"/proc/{runner.pid}/status").read_text()
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
    fields = Path(f"/proc/{runner.pid}/stat").read_text().rpartition(")")[2].split()
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
    assert (run.metric_count, sorted(run.metric_matches)) == (2, ["1.5", "2.5"])
    assert "score" not in run.stdout.head
    none = shared.run(shell("echo 1", metric_regex="score"))
    assert (none.metric_count, none.metric_matches) == (0, ())


# --- limits ---


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


# --- as whom, and under which policy ---


@needs_root
def test_the_workload_runs_as_the_invoking_user() -> None:
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
