# SPDX-License-Identifier: MIT
"""Runs a program that is not ours to read its help or version, without any privilege.

What always holds here:
- root's powers are dropped before the program begins: as root it runs as the user who called sudo, else as nobody; it
  cannot gain any either (no setuid, no file capabilities), so it cannot attach a scheduler;
- it is the very file that was found: opened once, compared, and run by its descriptor, so its directory need not
  be open to the user it runs as;
- its input is empty, its environment ours, its output and its time bounded; its whole process group ends with it.
"""

from __future__ import annotations

import ctypes
import os
import re
import selectors
import signal
import subprocess
import time
from typing import Any

from autotune import trust
from autotune.errors import AutotuneError
from autotune.frozen import dataclass
from autotune.measure import descendants
from autotune.schedext.programs.binaries import Binary

ANSWER_S = 10.0
MOST_BYTES = 1 << 20
"""Bytes read of both streams together. The longest help text of an scx scheduler has 21 KB."""
NOBODY = 65534
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
"""<linux/prctl.h>"""
_READ_BYTES = 65536
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Answer:
    """The output of a program. `ended_for` names the bound for which it was ended, if any."""

    stdout: str
    stderr: str
    ended_for: str = ""


def run(binary: Binary, *arguments: str, answer_s: float = ANSWER_S) -> Answer:
    """Run the program with these arguments and read its output. Raises AutotuneError when it cannot be started, or is
    not the file that was found."""
    started = time.monotonic()
    fd = _opened(binary)
    try:
        child = _start(binary, fd, arguments)
    finally:
        os.close(fd)
    try:
        return _heard(child, started + answer_s, answer_s)
    finally:
        descendants.kill_group(child.pid)
        child.wait()


def _opened(binary: Binary) -> int:
    try:
        fd = os.open(binary.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise _not_started(binary, error) from error
    found = os.fstat(fd)
    if (found.st_size, found.st_mtime_ns) != (binary.size_bytes, binary.mtime_ns):
        os.close(fd)
        raise AutotuneError(f"{binary.path} was changed just now", hint="run again", stage="scheduler")
    return fd


def _start(binary: Binary, fd: int, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [str(binary.path), *arguments],
            executable=f"/proc/self/fd/{fd}",
            pass_fds=(fd,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/", "NO_COLOR": "1", "RUST_BACKTRACE": "0"},
            start_new_session=True,
            preexec_fn=_gain_nothing,
            bufsize=0,
            **_identity(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise _not_started(binary, error) from error


def _identity() -> dict[str, Any]:
    """Return the user to run as when we are root. Root of a user namespace (a container without privileges) has no
    power to attach a scheduler, and often no other user to switch to."""
    if os.geteuid() != 0 or not _is_root_of_the_machine():
        return {}
    asker = trust.sudo_user()
    uid, gid = (asker.pw_uid, asker.pw_gid) if asker else (NOBODY, NOBODY)
    return {"user": uid, "group": gid, "extra_groups": []}


def _is_root_of_the_machine() -> bool:
    """Return whether this is the first user namespace, which maps all numbers to themselves (`man user_namespaces`)."""
    try:
        with open("/proc/self/uid_map", "rb") as file:
            return file.read().split() == [b"0", b"0", b"4294967295"]
    except OSError:
        return True


def _gain_nothing() -> None:
    """Make sure, in the child, that it cannot regain privileges."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _libc.prctl(_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    descendants.die_with_parent(signal.SIGKILL)


def _not_started(binary: Binary, error: Exception) -> AutotuneError:
    if isinstance(error, PermissionError):
        who = "a user without privileges" if os.geteuid() == 0 else "you"
        hint = f"chmod a+rx {binary.path}: its options are never read with privileges"
        return AutotuneError(f"{binary.path} cannot be read and run by {who}", hint=hint, stage="scheduler")
    why = error.strerror if isinstance(error, OSError) else str(error)
    return AutotuneError(f"{binary.path} cannot be started: {why}", hint="install it again", stage="scheduler")


def _heard(child: subprocess.Popen[bytes], deadline: float, answer_s: float) -> Answer:
    """Read until it closes both streams or passes a bound."""
    assert child.stdout is not None
    assert child.stderr is not None
    received = {"stdout": bytearray(), "stderr": bytearray()}
    ended_for = ""
    with selectors.DefaultSelector() as selector, child.stdout, child.stderr:
        selector.register(child.stdout, selectors.EVENT_READ, received["stdout"])
        selector.register(child.stderr, selectors.EVENT_READ, received["stderr"])
        while selector.get_map() and not ended_for:
            for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                data = os.read(key.fd, _READ_BYTES)
                key.data.extend(data)
                if not data:
                    selector.unregister(key.fileobj)
            if sum(map(len, received.values())) > MOST_BYTES:
                ended_for = f"it wrote more than {MOST_BYTES >> 10} KiB"
            elif selector.get_map() and time.monotonic() >= deadline:
                ended_for = f"it did not end within {answer_s:g} s"
    return Answer(_text(received["stdout"]), _text(received["stderr"]), ended_for)


def _text(data: bytearray) -> str:
    return _COLOURS.sub("", data[:MOST_BYTES].decode(errors="replace"))
