# SPDX-License-Identifier: MIT
"""Who attached a scheduler is told from real processes; loaders are played by small programs on PATH that speak as the
real ones do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autotune.errors import AttachError, BusyError
from autotune.lease import keeper, loaders, others, owners, replacing
from autotune.lease.other import Other
from autotune.records import KernelState
from autotune.schedext.holding.holder import lock_holders
from autotune.wire import from_json, to_json

BPFLAND = "bpfland_1.1.4_x86_64_unknown_linux_gnu"
Say = Callable[[str, str], Path]


def state(ops: str = BPFLAND) -> KernelState:
    return KernelState("enabled", ops, 1, 0, True)


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Puts a program on PATH, in front of all others. Nobody answers to `scxctl` and `systemctl` unless a test says."""
    place = tmp_path / "bin"
    place.mkdir()
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setattr(others, "LOCK_PATH", str(tmp_path / "lock"))

    def put(name: str, script: str) -> Path:
        (place / name).write_text(f"#!/bin/sh\n{script}\n")
        (place / name).chmod(0o755)
        return place / name

    put("scxctl", "exit 1")
    put("systemctl", "exit 1")
    return put


@contextlib.contextmanager
def running(*argv: str, executable: str = "/bin/sleep") -> Iterator[subprocess.Popen[bytes]]:
    """A real process that is called as its first word says."""
    child = subprocess.Popen(argv, executable=executable, stdin=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def process(pid: int) -> owners.OwnerProcess:
    """As soon as it runs its program."""
    deadline = time.monotonic() + 10
    while True:
        found = owners.process(pid)
        assert found is not None
        if (found.argv and found.argv[0] != sys.executable) or time.monotonic() > deadline:
            return found


# --- processes ------------------------------------------------------------------------------------------


def test_a_process_is_known_by_number_start_and_words() -> None:
    words = ("scx_rusty", "-c", "read line", "")
    with running(*words, executable="/bin/sh") as child:
        found = process(child.pid)
        assert found.argv == words
        assert found.parent == os.getpid()
        assert found.started > 0
        assert os.getpid() in [above.pid for above in owners.ancestors(found)]
        assert owners.program_of(found) == "scx_rusty"
    assert owners.process(child.pid) is None


@pytest.mark.parametrize(
    ("program", "ops", "fits"),
    [
        ("scx_rusty", "rusty", True),
        ("scx_bpfland", BPFLAND, True),
        ("scx_rusty", "rustland", False),
        ("scx_rust", "rusty", False),
        ("scx_flatcg", "flatcg", True),
    ],
)
def test_a_program_and_what_the_kernel_shows_are_matched_by_name(program: str, ops: str, fits: bool) -> None:
    assert owners.fits(program, ops) is fits


def test_version_and_build_are_no_part_of_the_name() -> None:
    assert owners.base_name(BPFLAND) == "bpfland"
    assert owners.base_name("at_fifo") == "at_fifo"


def test_one_process_of_that_name_is_taken_and_of_two_none() -> None:
    with running("scx_bpfland", "100") as child:
        assert owners.find_by_name(BPFLAND) == child.pid
        with running("scx_bpfland", "101"):
            assert owners.find_by_name(BPFLAND) is None


def test_who_holds_a_lock_is_seen_without_touching_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = f"import fcntl, time; f = open({str(path)!r}, 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(99)"
    child = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert lock_holders(str(path)) == {child.pid}
    child.kill()
    child.communicate()
    assert lock_holders(str(path)) == set()


# --- what loaders say -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("running Bpfland in Gaming mode", ("scx_bpfland", "gaming")),
        ("running P2DQ in LowLatency mode", ("scx_p2dq", "lowlatency")),
        ('running Bpfland with arguments "-s 10000 -m all"', ("scx_bpfland", None)),
        ("no scx scheduler running", None),
        ("", None),
    ],
)
def test_the_loader_is_understood(say: Say, said: str, told: tuple[str, str | None] | None) -> None:
    say("scxctl", f"echo '{said}'")
    assert loaders.scx_loader_says() == told


def test_a_program_that_fails_hangs_or_is_absent_says_nothing(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "ASK_S", 0.3)
    say("failing", "echo something; exit 3")
    say("hanging", "sleep 30")
    assert [loaders.ask("failing"), loaders.ask("hanging"), loaders.ask("autotune-no-such")] == [None, None, None]


def test_what_a_program_leaves_running_is_not_waited_for(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "ASK_S", 60.0)
    say("leaving", "sleep 60 & echo answer; echo $! > $(dirname $0)/pid")
    started = time.monotonic()
    assert loaders.ask("leaving") == "answer\n"
    assert time.monotonic() - started < 60
    os.kill(int((say("done", "").parent / "pid").read_text()), signal.SIGKILL)


def test_only_an_active_service_has_a_main_process(say: Say) -> None:
    say("systemctl", "echo MainPID=42; echo ActiveState=active")
    assert loaders.main_pid("scx.service") == 42
    say("systemctl", "echo MainPID=0; echo ActiveState=active")
    assert loaders.main_pid("scx.service") is None
    say("systemctl", "echo MainPID=42; echo ActiveState=inactive")
    assert loaders.main_pid("scx.service") is None


# --- who it is ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("say")
def test_a_scheduler_started_by_hand_is_named_with_its_process() -> None:
    with running("/opt/bin/scx_bpfland", "100", "5") as child:
        other = others.identify(state(), process(child.pid))
    assert (other.origin, other.pid, other.scheduler, other.flags) == ("hand", child.pid, "scx_bpfland", ("100", "5"))
    assert other.sentence == f"{BPFLAND}, by process {child.pid} (scx_bpfland 100 5), started by hand"


def test_one_of_the_service_is_told_by_its_main_process(say: Say) -> None:
    with running("scx_bpfland", "100") as child:
        say("systemctl", f'[ "$2" = scx.service ] && echo MainPID={child.pid} && echo ActiveState=active')
        other = others.identify(state(), process(child.pid))
    assert (other.origin, other.unit) == ("scx.service", "scx.service")
    assert other.sentence == f"{BPFLAND}, by scx.service (scx_bpfland 100)"


def test_one_below_the_loader_is_told_with_the_mode_that_the_loader_says(say: Say) -> None:
    say("scxctl", "echo running Bpfland in Gaming mode")
    loader = say("scx_loader", "")
    loader.write_text(
        f"#!{os.path.realpath(sys.executable)} -S\nimport subprocess\n"
        "child = subprocess.Popen(['scx_bpfland', '100'], executable='/bin/sleep')\n"
        "print(child.pid, flush=True)\nchild.wait()\n"
    )
    parent = subprocess.Popen([str(loader)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    other = others.identify(state(), process(pid))
    os.kill(pid, signal.SIGKILL)
    parent.communicate()
    assert (other.origin, other.mode, other.scheduler) == ("scx_loader", "gaming", "scx_bpfland")
    assert other.sentence == f"{BPFLAND}, by scx_loader (mode gaming)"


def test_without_a_process_the_loader_is_believed_only_when_the_name_fits(say: Say) -> None:
    say("scxctl", "echo running Bpfland in Auto mode")
    assert others.identify(state(), None).origin == "scx_loader"
    assert others.identify(state("rusty"), None).origin == "unknown"


def test_one_of_another_autotune_is_told_by_the_lock(say: Say, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        f"import fcntl, os, time; f = open({str(path)!r}, 'w'); fcntl.flock(f, 2); f.write(f'77 {{os.getpid()}}')\n"
        "f.flush(); print(flush=True); time.sleep(99)"
    )
    child = subprocess.Popen([sys.executable, "-S", "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    say("scxctl", "exit 1")
    holders = [others.identify(state("at_fifo"), owner) for owner in (None, owners.process(child.pid))]
    with running("scx_bpfland", "100") as stranger:
        stranger_s = others.identify(state(), process(stranger.pid))
    child.kill()
    child.communicate()
    assert [other.origin for other in holders] == ["autotune", "autotune"]
    assert holders[0].sentence == "at_fifo, by another autotune (process 77)"
    assert stranger_s.origin == "hand"


@pytest.mark.usefixtures("say")
def test_words_of_others_are_one_bounded_line() -> None:
    words = ("scx_bpfland", "-c", "sleep 100; :", "\x1b[31m\nred" + "x" * 1000)
    with running(*words, executable="/bin/sh") as child:
        sentence = others.identify(state(), process(child.pid)).sentence
    assert sentence.isprintable()
    assert len(sentence) < 250


# --- consent --------------------------------------------------------------------------------------------

HAND = Other("rusty", 1234, ("scx_rusty", "-k"), "hand", "scx_rusty", None, ("-k",), 99)


def test_consent_is_a_flag_or_a_yes() -> None:
    assert replacing.consent(HAND, replace_current=True, ask=None)
    asked: list[str] = []

    def yes(text: str) -> str:
        asked.append(text)
        return "Yes\n"

    assert replacing.consent(HAND, replace_current=False, ask=yes)
    assert "process 1234 (scx_rusty -k), started by hand" in asked[0]


def end_of_input(_text: str) -> str:
    raise EOFError


@pytest.mark.parametrize("ask", [None, lambda _text: "n\n", lambda _text: "\n", end_of_input])
def test_without_consent_it_is_named_with_how_to_go_on(ask: Any) -> None:
    with pytest.raises(BusyError) as refused:
        replacing.consent(HAND, replace_current=False, ask=ask)
    assert "process 1234" in refused.value.message
    assert "--replace-current" in refused.value.hint
    assert "--machine vm" in refused.value.hint


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (Other("at_fifo", 77, (), "autotune", None, None, ()), "autotune stop"),
        (Other("simple", None, (), "unknown", None, None, ()), "/sys/fs/bpf"),
        (Other("rusty", 5, ("scx_rusty",), "scx_loader", "scx_rusty", None, ()), "scx_loader"),
    ],
)
@pytest.mark.usefixtures("say")
def test_what_could_not_be_restored_is_never_replaced(other: Other, why: str) -> None:
    with pytest.raises(BusyError) as refused:
        replacing.consent(other, replace_current=True, ask=None)
    assert why in refused.value.hint


def test_another_s_record_survives_the_wire() -> None:
    assert from_json(Other, json.loads(json.dumps(to_json(HAND)))) == HAND


# --- the keeper -----------------------------------------------------------------------------------------


def test_a_process_is_started_again_as_it_was(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"""
import json, os, signal, sys, time
output, term = os.readlink("/proc/self/fd/1"), int(signal.getsignal(signal.SIGTERM))
own_session, files = os.getsid(0) == os.getpid(), len(os.listdir("/proc/self/fd"))
with open({str(told)!r} + ".new", "w") as file:
    json.dump([sys.argv, os.getcwd(), os.environ.get("MARK"), own_session, output, term, files], file)
os.rename({str(told)!r} + ".new", {str(told)!r})
time.sleep(99)
"""
    argv = [sys.executable, "-S", "-c", script, "a b", ""]
    child = subprocess.Popen(argv, cwd=tmp_path, env={"MARK": "one two", "PATH": "/bin"})
    while not told.exists():
        time.sleep(0.01)
    start = keeper.start_of(child.pid)
    child.kill()
    child.wait()
    told.unlink()
    pid = keeper.spawn(start)
    while not told.exists():
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    words, cwd, mark, own_session, output, term, files = json.loads(told.read_text())
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


def test_the_loader_is_asked_as_scxctl_takes_it() -> None:
    by_mode = Other("rusty", 1, (), "scx_loader", "scx_rusty", "gaming", ("-k",))
    assert keeper._loader_start(by_mode) == ["scxctl", "start", "--sched", "rusty", "--mode", "gaming"]
    by_flags = Other("rusty", 1, (), "scx_loader", "scx_rusty", None, ("-k", "-s", "5"))
    assert keeper._loader_start(by_flags)[-1] == "--args=-k,-s,5"
    with pytest.raises(AttachError, match="commas"):
        keeper._loader_start(Other("lavd", 1, (), "scx_loader", "scx_lavd", None, ("--cpus=1,2",)))


def test_a_command_that_fails_is_told_in_its_words(say: Say) -> None:
    say("scxctl", "printf '\\033[31merror:\\033[0m no scheduler\\n'; exit 1")
    with pytest.raises(AttachError, match="'scxctl stop' failed: error: no scheduler"):
        keeper._command("scxctl", "stop")


def test_a_keeper_that_stopped_nothing_goes_with_its_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-I", keeper.__file__],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
