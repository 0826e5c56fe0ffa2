# SPDX-License-Identifier: MIT
"""What users and machines get wrong, with the real program: one clear line, the right exit code, nothing left behind.

What is wrong with the arguments themselves is in test_cli, what is known before a session starts in
tests/faults/test_known_before_the_start, what needs a host with sched_ext in tests/vm/test_host_mode and, beside
others, in tests/vm/test_living_with_others. A session that ends with its baseline needs no scheduler: it measures on
this machine, whatever kernel that has.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autotune.machine.vm import kernels
from tests.support import left_behind
from tests.support.guest import REPOSITORY

PROBE = Path(left_behind.__file__)
VM = ("--machine", "vm", "--memory", "512M")
SHORT = ("--scheduler", "at_fifo", "--warmup", "0", "--runs", "2", "--budget", "3m")
"""Three runs of the baseline, and the budget is gone."""
SMALL_DISK = 'mount -t tmpfs -o size=64k none "$1" && shift && exec "$@"'
NO_CLANG = 'for it in /usr/bin/clang-[0-9]*; do mount --bind /dev/null "$(readlink -f "$it")"; done; exec "$@"'

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount something of its own")


HERE = """
import contextlib
from autotune import cli
from autotune.machine import select
from autotune.machine.local import LocalMachine
from autotune.records import KernelState
from autotune.schedext import kernel
from autotune.session import preflight

@contextlib.contextmanager
def choose(kind, *, place, **_options):
    machine = LocalMachine(place, why="a test", libbpf=None, headers=None)
    try:
        yield machine
    finally:
        machine.close()

select.choose = choose
kernel.read_state = lambda: KernelState("disabled", None, 0, 0, None)  # whatever kernel this machine has
preflight.CHECKS = tuple(one for one in preflight.CHECKS if one is not preflight.machine)
cli.main()
"""


def measured_here(*arguments: str) -> list[str]:
    return [sys.executable, "-c", HERE, "cc", "--machine", "vm", *SHORT, *arguments]


def cc(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "autotune", "cc", *arguments]


def probed(argv: list[str], cwd: Path, *, prefix: tuple[str, ...] = (), **asked: Any) -> dict[str, Any]:
    """How a command of the program ended on this machine, after which nothing of it is left."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTUNE_")}
    done = subprocess.run(
        [*prefix, sys.executable, str(PROBE), json.dumps({"argv": argv, **asked})],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=300,
        check=True,
        cwd=cwd,
        env={**environ, "PYTHONPATH": str(REPOSITORY)},
    )
    return nothing_left(json.loads(done.stdout.splitlines()[-1]))


def elsewhere(script: str, *arguments: str) -> tuple[str, ...]:
    """A prefix that runs a command where the script has mounted something that nobody else sees."""
    return ("unshare", "-m", "sh", "-c", script, "sh", *arguments)


def nothing_left(seen: dict[str, Any]) -> dict[str, Any]:
    assert seen["processes"] == []
    assert seen["files"] == []
    return seen


def error_of(seen: dict[str, Any], exit_code: int) -> str:
    """The one line on standard error, after which the program ended as it should."""
    line = str(seen["stderr"])
    assert seen["exit_code"] == exit_code, seen
    assert line.startswith("autotune: ")
    assert line.count("\n") == 1, line
    assert "internal" not in line
    return line


# --- commands that cannot be measured ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "what", "advice"),
    [
        (("true && no-such-command x",), "exit code 127", "no-such-command: not found; make it succeed first"),
        (("--timeout", "1s", "sleep 60"), "timed out after 1 s", "Give it more time with --timeout"),
        (("--metric", "rps: (.*)", "echo nothing"), "matched nothing in the output", "The command printed no number"),
        (
            ("--metric", "v: (.*)", "echo v: 1; echo v: 2"),
            "matched 2 times; it must match once",
            "Name more of the line",
        ),
        (
            ("--metric", "v: (.*)", "echo v: fast"),
            "found 'fast', which is not a number",
            "Group 1 must be a number above 0",
        ),
        (("printf '\\377\\033[31m\\n' >&2; exit 4",), "exit code 4", "Its last line: \\xff"),
        (("head -c 1 /dev/zero > /dev/full",), "exit code 1", "No space left on device"),
    ],
)
def test_a_command_that_cannot_be_measured_is_exit_code_3(
    tmp_path: Path, arguments: tuple[str, ...], what: str, advice: str
) -> None:
    line = error_of(probed(measured_here(*arguments), tmp_path), 3)
    assert line.startswith("autotune: baseline: the workload cannot be measured: ")
    assert what in line
    assert advice in line
    assert line[:-1].isprintable()


@pytest.mark.slow
@as_root
def test_a_directory_that_the_user_may_not_enter_is_named(tmp_path: Path) -> None:
    """Under sudo the command runs as the user who asked, and the directory may be root's."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    line = error_of(probed(measured_here("true"), closed, env={"SUDO_UID": "65534"}), 3)
    assert f"cannot enter the directory {closed}: Permission denied" in line
    assert "Check the command and the directory" in line


# --- commands that are odd and can be measured ---


@pytest.mark.slow
def test_more_output_than_memory_would_hold_is_fine_and_need_not_be_utf_8(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\xc3")
    much = "[ -e once ] || head -c 640M /dev/zero; : > once"  # in the first run
    command = f"printf 'a\\377\\303b {odd}\\n'; {much}; printf '\\nv: 1.5\\n'"
    report = tmp_path / "r.json"
    seen = probed(measured_here("--metric", "v: (.*)", "--json", str(report), command), tmp_path)
    assert (seen["exit_code"], seen["stderr"]) == (0, "")
    assert seen["largest_bytes"] < 400 << 20
    run = json.loads(report.read_text())["trials"][0]["run"]
    assert run["stdout"]["head"].startswith("a\\xff\\xc3b \\xff\\xc3\n")
    assert run["stdout"]["total_bytes"] > 640 << 20
    assert run["metric_matches"] == ["1.5"]


@pytest.mark.slow
@as_root
def test_a_report_on_a_full_disk_is_an_error_after_the_table_was_printed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    fill = f"cat /dev/zero > {disk}/x 2>/dev/null || true"
    argv = measured_here("--json", str(disk / "r.json"), "true")
    prefix = elsewhere(SMALL_DISK, str(disk))
    seen = probed(argv, tmp_path, prefix=prefix, before=fill, after=f"ls -A {disk}")
    line = error_of(seen, 1)
    assert f"--json {disk}/r.json could not be written: No space left on device. Free some space on the disk of" in line
    assert "#  scheduler" in seen["stdout"]
    assert seen["after"] == "x\n"


# --- permissions ---

LIKE_A_USER = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override")
"""As a root whom permissions bind."""


@pytest.mark.slow
@as_root
@pytest.mark.parametrize(
    ("place", "arguments", "exit_code", "said"),
    [
        (".", ("--json", "closed/r"), 2, "--json closed/r cannot be written: Permission denied. Name a"),
        (".", ("--input", "closed/r"), 2, "--input closed/r: Permission denied. Give a file that can be"),
        (".", ("--keep-writes", "closed/r"), 2, "--keep-writes closed/r: Permission denied. Name a directory"),
        (".", ("--kernel", "closed/r"), 1, "closed/r: Permission denied. Change its permissions"),
        ("closed", (), 2, "Permission denied"),
    ],
)
def test_what_the_user_may_not_read_or_write_is_named_before_the_session(
    tmp_path: Path, place: str, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    into = ["sh", "-c", f'cd {closed if place == "closed" else tmp_path}; chmod 000 {closed}; exec "$@"', "sh"]
    argv = [*into, *LIKE_A_USER, "--", *cc("--machine", "vm", *arguments, "true")]
    seen = probed(argv, tmp_path, after=f"chmod 700 {closed}")
    assert said in error_of(seen, exit_code)
    assert seen["stdout"] == ""


# --- no machine, no compiler, no room: nothing is started ---


def path_without(directory: Path, program: str) -> str:
    """A directory with links to all programs but one."""
    directory.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for found in Path(place).glob("*"):
            link = directory / found.name
            if found.name != program and not link.is_symlink():
                link.symlink_to(found)
    return str(directory)


def cache_without_qemu(directory: Path) -> str:
    """A cache with links to all parts of a fetched kernel but its QEMU."""
    made = directory / "autotune" / "kernels" / "linked"
    made.mkdir(parents=True)
    for part in kernels.installed()[0].libbpf.parent.iterdir():  # type: ignore[union-attr]
        if part.name != "qemu":
            (made / part.name).symlink_to(part)
    return str(directory)


@pytest.mark.bpf
def test_without_a_kernel_the_advice_is_to_fetch_one(tmp_path: Path) -> None:
    seen = probed(cc("--machine", "vm", "true"), tmp_path, env={"XDG_CACHE_HOME": str(tmp_path / "nothing")})
    said = "there is no kernel with sched_ext for the micro-VM. Run 'autotune vm setup'."
    assert error_of(seen, 4) == f"autotune: machine: {said}\n"


@pytest.mark.vm
@pytest.mark.parametrize(
    ("program", "package"),
    [("qemu-system-x86_64", "qemu-system-x86"), ("busybox", "busybox-static"), ("setpriv", "util-linux")],
)
def test_a_program_that_is_missing_is_named_with_its_package(tmp_path: Path, program: str, package: str) -> None:
    if not kernels.installed():
        pytest.skip("no kernel was fetched")
    env = {
        "PATH": path_without(tmp_path / "bin", program),
        "XDG_CACHE_HOME": cache_without_qemu(tmp_path / "cache"),
    }
    line = error_of(probed(cc("--machine", "vm", "true"), tmp_path, env=env), 4)
    assert line == f"autotune: machine: {program} is not installed. Install it: apt-get install {package}.\n"


@pytest.mark.vm
@as_root
def test_without_a_compiler_the_session_ends_before_a_machine_is_started(tmp_path: Path) -> None:
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    seen = probed(cc(*VM, *SHORT, "true"), tmp_path, prefix=elsewhere(NO_CLANG), env=env)
    line = error_of(seen, 1)
    assert line == "autotune: build: no clang 15 or later was found. Install it: apt-get install clang-19.\n"
    assert seen["stdout"] == ""


@pytest.mark.vm
@as_root
def test_a_full_disk_for_temporary_files_is_no_bug_of_autotune(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    prefix = elsewhere(SMALL_DISK, str(disk))
    line = error_of(probed(cc(*VM, *SHORT, "true"), tmp_path, prefix=prefix, env={"TMPDIR": str(disk)}), 1)
    assert "the disk is full: No space left on device. Make room where temporary files go (TMPDIR" in line


APT = """#!/bin/sh
# Plays apt without a network: the list of packages is larger than the disk it is to be kept on.
for word; do case "$word" in Dir=*) root=${word#Dir=} ;; esac; done
case "$*" in
*indextargets*) echo "Debian bookworm http://mirror.invalid/debian" ;;
*update*) exec head -c 1M /dev/zero > "$root/var/lib/apt/lists/packages" ;;
esac
"""


@pytest.mark.slow
@as_root
@pytest.mark.skipif(not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists(), reason="this is not Debian")
def test_a_full_disk_for_the_kernel_leaves_nothing_half_fetched(tmp_path: Path) -> None:
    disk, programs = tmp_path / "disk", tmp_path / "bin"
    disk.mkdir()
    programs.mkdir()
    (programs / "apt-get").write_text(APT)
    (programs / "apt-get").chmod(stat.S_IRWXU)
    env = {"PATH": f"{programs}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(disk)}
    argv = [sys.executable, "-m", "autotune", "vm", "setup"]
    prefix = elsewhere(SMALL_DISK, str(disk))
    seen = probed(argv, tmp_path, prefix=prefix, env=env, after=f"ls -A {disk}/autotune/kernels")
    line = error_of(seen, 1)
    assert line.startswith("autotune: vm setup: ")
    assert "the disk is full. Free about 600 MB." in line
    assert seen["after"] == ".lock\n"
