# SPDX-License-Identifier: MIT
"""The walls of the sandbox, from inside of a real one: no other namespaces, no system calls but a compiler's.

What the walls are to stop is shown to work without them, so that the tests can fail. What the compiler sees and its
bounds: tests/bpf/test_compile_gate.py.
"""

from __future__ import annotations

import ast
import errno
import os
import platform
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from autotune.commands import requirements
from autotune.errors import BuildError
from autotune.verify import sandbox, syscalls

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        platform.machine() not in ("x86_64", "aarch64"), reason="the tests know no numbers of calls here"
    ),
]

ROOT = Path(__file__).resolve().parents[3]
CALLS = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "clone3": (435, 435),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265),
    "personality": (135, 92),
    "syslog": (103, 116),
    "memfd_create": (319, 279),
    "seccomp": (317, 277),
    "sched_setattr": (314, 274),
    "setuid": (105, 146),
    "capset": (126, 91),
    "a call that is not there yet": (9999, 9999),
}
"""Numbers on x86-64 and on arm64."""
NUMBERS = {name: both[platform.machine() == "aarch64"] for name, both in CALLS.items()}
CLONE = 220 if platform.machine() == "aarch64" else 56
NEW = {"user": 0x10000000, "mount": 0x20000, "network": 0x40000000, "pid": 0x20000000, "cgroup": 0x02000000}

EACH = """
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    return 0 if result != -1 else ctypes.get_errno()
"""


def inside(script: str) -> sandbox.Done:
    return sandbox.run(["python3", "-I", "-S", "-c", EACH + script], shown={})


def errors_inside(numbers: dict[str, int]) -> dict[str, int]:
    """What each call answers with arguments that no call can use."""
    done = inside(f"print({{name: call(number, -1, -1, -1, -1, -1, -1) for name, number in {numbers!r}.items()}})")
    assert done.exit_code == 0, done.stderr
    answer: dict[str, int] = ast.literal_eval(done.stdout.decode())
    return answer


@pytest.fixture
def no_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "hardening", sandbox.Hardening)


@pytest.fixture
def probed_anew() -> Iterator[None]:
    for cached in (sandbox.hardening, syscalls.compiler_filter):
        cached.cache_clear()
    yield
    for cached in (sandbox.hardening, syscalls.compiler_filter):
        cached.cache_clear()


# --- system calls ------------------------------------------------------------------------------------------


def test_calls_that_no_compiler_needs_are_not_there() -> None:
    assert errors_inside(NUMBERS) == dict.fromkeys(NUMBERS, errno.ENOSYS)


@pytest.mark.usefixtures("no_walls")
def test_without_the_filter_the_kernel_would_serve_them() -> None:
    """Which is what the filter is for. Any answer but ENOSYS comes from the call itself."""
    numbers = {name: number for name, number in NUMBERS.items() if name in ("ptrace", "unshare", "keyctl", "socket")}
    assert errno.ENOSYS not in errors_inside(numbers).values()


@pytest.mark.parametrize("what", NEW)
def test_a_child_in_a_namespace_of_its_own_cannot_be_made(what: str) -> None:
    done = inside(f"print(call({CLONE}, {NEW[what] | signal.SIGCHLD}, 0, 0, 0, 0))")
    assert done.stdout == b"%d\n" % errno.ENOSYS


def test_children_and_threads_can_be_made() -> None:
    script = (
        "import os, _thread, time; l = _thread.allocate_lock(); l.acquire(); _thread.start_new_thread(l.release, ())"
    )
    done = inside(f"{script}; l.acquire(); pid = os.fork() or os._exit(7); print(os.waitpid(pid, 0)[1] >> 8)")
    assert done.stdout == b"7\n", done.stderr


def test_a_terminal_cannot_be_typed_into() -> None:
    numbers = {"ioctl": 29 if platform.machine() == "aarch64" else 16}
    done = inside(f"print(call({numbers['ioctl']}, 0, 0x5412, 0))")  # TIOCSTI
    assert done.stdout == b"%d\n" % errno.ENOSYS


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other ABIs of x86-64")
def test_the_other_abis_of_the_cpu_are_no_way_around_the_filter() -> None:
    i386 = "import mmap; code = mmap.mmap(-1, 4096, prot=7); code.write(bytes.fromhex('b814000000cd80c3'))\n"  # getpid
    i386 += "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()"
    for script in (i386, "call(0x40000000 | 39)", "call(0x40000000 | 521, -1)"):  # x32: getpid, ptrace
        assert inside(script).exit_code == 128 + signal.SIGSYS


# --- namespaces --------------------------------------------------------------------------------------------


UNSHARE = f"print(call({NUMBERS['unshare']}, {NEW['user']}))"


def test_without_the_filter_too_there_are_no_further_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "hardening", lambda: sandbox.Hardening(sandbox.NO_NAMESPACES))
    assert inside(UNSHARE).stdout == b"%d\n" % errno.ENOSPC


@pytest.mark.usefixtures("no_walls")
def test_without_both_walls_one_can_be_made() -> None:
    assert inside(UNSHARE).stdout == b"0\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_both_walls_stand_for_a_user_who_is_not_root_too() -> None:
    script = "from autotune.verify import sandbox; print(sandbox.hardening().missing)\n"
    script += f"print(sandbox.run(['python3', '-I', '-S', '-c', {EACH + UNSHARE!r}], shown={{}}).stdout)"
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", "/usr/bin/python3", "-c", script]
    done = subprocess.run(argv, env={"PYTHONPATH": str(ROOT), "PATH": os.defpath}, capture_output=True, check=False)
    if b"Permission denied" in done.stderr or b"No module named" in done.stderr:
        pytest.skip("this checkout is for root alone")
    assert done.stdout.decode() == f"()\n{b'%d' % errno.ENOSYS + chr(10).encode()!r}\n", done.stderr


# --- where a wall cannot be built --------------------------------------------------------------------------


def old_bubblewrap(tmp_path: Path, option: str, complaint: str) -> Path:
    """A bubblewrap that does not know an option, as each says it, and else is the real one."""
    program = tmp_path / "bwrap"
    real = shutil.which("bwrap")
    program.write_text(
        f'#!/bin/sh\nfor word; do [ "$word" != {option} ] || {{ echo "bwrap: {complaint}" >&2; exit 1; }}; done\n'
        f'exec {real} "$@"\n'
    )
    program.chmod(0o755)
    return tmp_path


@pytest.mark.usefixtures("probed_anew")
@pytest.mark.parametrize(
    ("option", "complaint", "clause"),
    [
        ("--disable-userns", "Unknown option --disable-userns", "further namespaces are not forbidden: bwrap: Unknown"),
        ("--disable-userns", "cannot open /proc/sys/user/max_user_namespaces", "further namespaces are not forbidden"),
        ("--seccomp", "prctl(PR_SET_SECCOMP): Invalid argument", "system calls are not filtered: bwrap: prctl"),
    ],
)
def test_one_wall_that_cannot_be_built_is_named_and_the_other_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, complaint: str, clause: str
) -> None:
    monkeypatch.setenv("PATH", f"{old_bubblewrap(tmp_path, option, complaint)}:{os.environ['PATH']}")
    (missing,) = sandbox.hardening().missing
    assert missing.startswith(clause)
    assert inside(UNSHARE).stdout == b"%d\n" % (errno.ENOSPC if option == "--seccomp" else errno.ENOSYS)
    assert missing in requirements._sandbox().detail


@pytest.mark.usefixtures("probed_anew")
def test_without_libseccomp_the_filter_is_named_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syscalls, "LIBRARY", "libseccomp-that-is-not-there.so.2")
    assert sandbox.hardening().missing == ("system calls are not filtered: libseccomp is not installed",)
    assert inside(UNSHARE).stdout == b"%d\n" % errno.ENOSPC


@pytest.mark.usefixtures("probed_anew")
def test_where_bubblewrap_does_not_work_at_all_that_is_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaint = "No permissions to create new namespace"
    monkeypatch.setenv("PATH", f"{old_bubblewrap(tmp_path, '--unshare-user', complaint)}:{os.environ['PATH']}")
    with pytest.raises(BuildError, match=re.escape(f"the sandbox cannot be built: bwrap: {complaint}")):
        sandbox.run(["true"], shown={})


def test_on_this_machine_all_walls_stand() -> None:
    """Where it fails, what the message names is missing here: the tests above then show less than they seem to."""
    assert sandbox.hardening().missing == ()
