# SPDX-License-Identifier: MIT
"""The process that stops another's scheduler and starts it again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autotune.errors import AttachError, BusyError
from autotune.lease import keeper
from autotune.lease.other import Other
from tests.support.other_schedulers import HAND, Say, process, running


def test_a_process_is_started_again_as_it_was(tmp_path: Path) -> None:
    note = tmp_path / "note"
    script = f"""
import json, os, signal, sys, time
output, term = os.readlink("/proc/self/fd/1"), int(signal.getsignal(signal.SIGTERM))
own_session, files = os.getsid(0) == os.getpid(), len(os.listdir("/proc/self/fd"))
with open({str(note)!r} + ".new", "w") as file:
    json.dump([sys.argv, os.getcwd(), os.environ.get("MARK"), own_session, output, term, files], file)
os.rename({str(note)!r} + ".new", {str(note)!r})
time.sleep(99)
"""
    argv = [sys.executable, "-S", "-c", script, "a b", ""]
    child = subprocess.Popen(argv, cwd=tmp_path, env={"MARK": "one two", "PATH": "/bin"})
    while not note.exists():
        time.sleep(0.01)
    start = keeper.start_of(child.pid)
    child.kill()
    child.wait()
    note.unlink()
    pid = keeper.spawn(start)
    while not note.exists():
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    words, cwd, mark, own_session, output, term, files = json.loads(note.read_text())
    assert words == ["-c", "a b", ""]
    assert (cwd, mark, own_session, output) == (str(tmp_path), "one two", True, "/dev/null")
    assert term == signal.SIG_DFL
    assert files <= 4


def test_a_program_that_is_gone_is_not_stopped_since_it_could_not_be_started_again(tmp_path: Path) -> None:
    program = tmp_path / "scx_own"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with running("scx_own", "100", executable=str(program)) as child:
        process(child.pid)
        program.unlink()
        with pytest.raises(BusyError, match="could not be started again"):
            keeper.start_of(child.pid)
        assert child.poll() is None


def test_one_that_ignores_polite_signals_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "STEPS", ((signal.SIGINT, 0.1), (signal.SIGTERM, 0.1), (signal.SIGKILL, 5.0)))
    script = "trap '' INT TERM; echo ready; while :; do sleep 0.05; done"
    child = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    fd = os.pidfd_open(child.pid)
    keeper._end(fd, HAND)
    os.close(fd)
    child.communicate()
    assert child.returncode == -signal.SIGKILL


def test_a_process_of_the_same_number_but_another_start_is_left_alone() -> None:
    with running("scx_rusty", "100") as child:
        wrong = Other("rusty", child.pid, ("scx_rusty",), "hand", "scx_rusty", None, (), process(child.pid).started - 1)
        with pytest.raises(BusyError, match="a different one by now"):
            keeper.Keeper()._stop_process(wrong)
        assert child.poll() is None


def test_a_process_that_only_has_the_name_is_left_alone() -> None:
    """Anybody can give a process a name; root must neither stop it nor start it again with its environment."""
    with running("scx_rusty", "100") as child:
        named = Other("rusty", child.pid, ("scx_rusty",), "hand", "scx_rusty", None, (), process(child.pid).started)
        with pytest.raises(BusyError, match="is named like rusty and does not have it open"):
            keeper.Keeper()._stop_process(named)
        assert child.poll() is None


def test_the_loader_is_called_as_scxctl_takes_it() -> None:
    by_mode = Other("rusty", 1, (), "scx_loader", "scx_rusty", "gaming", ("-k",))
    assert keeper._loader_start(by_mode) == ["scxctl", "start", "--sched", "rusty", "--mode", "gaming"]
    by_flags = Other("rusty", 1, (), "scx_loader", "scx_rusty", None, ("-k", "-s", "5"))
    assert keeper._loader_start(by_flags)[-1] == "--args=-k,-s,5"
    with pytest.raises(AttachError, match="commas"):
        keeper._loader_start(Other("lavd", 1, (), "scx_loader", "scx_lavd", None, ("--cpus=1,2",)))


def test_a_command_that_fails_is_reported_in_its_words(say: Say) -> None:
    say("scxctl", "printf '\\033[31merror:\\033[0m no scheduler\\n'; exit 1")
    with pytest.raises(AttachError, match="'scxctl stop' failed: error: no scheduler"):
        keeper._command("scxctl", "stop")


def test_a_keeper_that_stopped_nothing_goes_with_its_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-I", keeper.__file__],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
