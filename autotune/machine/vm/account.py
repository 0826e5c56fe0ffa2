# SPDX-License-Identifier: MIT
"""Chooses who QEMU runs as when autotune is root: never root, where that can be.

Under sudo, doas or pkexec it is the user who invoked autotune; for root itself it is `nobody`. QEMU then may do what
that user may, without the user's groups but with that of /dev/kvm, and one thing more: read every file
(CAP_DAC_READ_SEARCH). The guest sees the host's files as root does, read-only, and autotune's own are below root's home
under sudo. A guest that breaks out can read, but neither write, signal nor load anything as root.

It stays root in two cases: root itself gave a directory for what is written inside, or may use /dev/kvm where `nobody`
may not; and where the kernel, or a container, does not let root become the user with that capability.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path

from autotune.frozen import dataclass
from autotune.machine.local import invoking_identity
from autotune.machine.vm.kvm import DEVICE, usable_device

NOBODY = "nobody"
CAPABILITY = "dac_read_search"
_PROBE_S = 30.0


@dataclass(frozen=True)
class Account:
    """Who QEMU runs as. `uid` is None when it runs as autotune does; `why_root` says why it is root all the same."""

    uid: int | None = None
    gid: int | None = None
    groups: tuple[int, ...] = ()
    kvm: bool = False
    """Whether this account may open /dev/kvm."""
    why_root: str = ""

    def options(self) -> list[str]:
        """Return the options of setpriv that make a program of this account."""
        if self.uid is None or self.gid is None:
            return []
        groups = ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        only = [f"--{which}=-all,+{CAPABILITY}" for which in ("bounding-set", "inh-caps", "ambient-caps")]
        return ["--reuid", str(self.uid), "--regid", str(self.gid), *groups, *only, "--no-new-privs"]

    def own(self, fd: int) -> None:
        """Make an open file, or a directory, this account's."""
        if self.uid is not None and self.gid is not None:
            os.fchown(fd, self.uid, self.gid)


def choose(setpriv: str, *, keeps_writes: bool = False, device: Path = DEVICE) -> Account:
    """Choose the account for QEMU. Raises PrivilegeError when the invoking user cannot be found."""
    as_we_are = Account(kvm=usable_device(device))
    if os.geteuid() != 0:
        return as_we_are
    user = invoking_identity()
    is_root = user.uid == 0
    if is_root and keeps_writes:
        return Account(kvm=as_we_are.kvm, why_root="root gave a directory of its own for what is written inside")
    uid, gid = _nobody() if is_root else (user.uid, user.gid)
    account = Account(uid, gid, _group_of(device))
    fault, kvm = _probe(setpriv, account, device)
    if fault is not None:
        return Account(kvm=as_we_are.kvm, why_root=fault)
    if is_root and as_we_are.kvm and not kvm:
        return Account(kvm=True, why_root=f"only root may use {device}")
    return Account(uid, gid, account.groups, kvm)


def may_write(setpriv: str, directory: Path) -> bool:
    """Return whether QEMU may write to a directory that the user gave."""
    account = choose(setpriv, keeps_writes=True)
    if account.uid is None:
        return os.access(directory, os.W_OK)
    done = _run([setpriv, *account.options(), "--", "test", "-w", str(directory), "-a", "-x", str(directory)])
    return done.returncode == 0


def hand_over(setpriv: str, directory: Path) -> None:
    """Make an empty directory that was just made the account's of QEMU."""
    with contextlib.suppress(OSError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_uid == os.geteuid() and not os.listdir(fd):
                choose(setpriv, keeps_writes=True).own(fd)
        finally:
            os.close(fd)


def _nobody() -> tuple[int, int]:
    try:
        account = pwd.getpwnam(NOBODY)
    except KeyError:
        return 65534, 65534
    return account.pw_uid, account.pw_gid


def _group_of(device: Path) -> tuple[int, ...]:
    """Return the group that may open the device, if there is one and it is not root's."""
    try:
        found = device.stat()
    except OSError:
        return ()
    may = found.st_mode & (stat.S_IRGRP | stat.S_IWGRP) == stat.S_IRGRP | stat.S_IWGRP
    return (found.st_gid,) if may and found.st_gid != 0 else ()


def _probe(setpriv: str, account: Account, device: Path) -> tuple[str | None, bool]:
    """Return why root cannot become the account, as a clause, or None; and whether the account may open the device."""
    test = 'if [ -r "$0" ] && [ -w "$0" ]; then echo kvm; fi'
    done = _run([setpriv, *account.options(), "--", "/bin/sh", "-c", test, str(device)])
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"code {done.returncode}"]
        return lines[-1][:200], False
    return None, done.stdout == b"kvm\n"


def _run(argv: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_S, check=False, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 1, b"", str(error).encode())
