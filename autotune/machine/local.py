# SPDX-License-Identifier: MIT
"""The host as a machine: its own kernel has sched_ext, and we may use it."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace

from autotune.errors import PrivilegeError
from autotune.machine.base import Place
from autotune.machine.executor import Executor, describe_machine
from autotune.records import Identity, MachineInfo, Sample
from autotune.schedext.holding.client import LEASE_S

_INVOKERS = ("SUDO_UID", "DOAS_USER", "PKEXEC_UID")
"""Variables in which programs that make somebody root leave the invoking user."""


def invoking_identity() -> Identity:
    """Return the invoking user: whoever called sudo, doas or pkexec when autotune runs as root through one of them,
    else the current user. Raises PrivilegeError when that user cannot be found: the workload must not run as root
    instead."""
    named = [name for name in _INVOKERS if os.environ.get(name)] if os.geteuid() == 0 else []
    if not named:
        return Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))
    name, value = named[0], os.environ[named[0]]
    try:
        account = pwd.getpwuid(int(value)) if name.endswith("_UID") else pwd.getpwnam(value)
    except (KeyError, ValueError, OverflowError) as error:
        raise PrivilegeError(
            f"the user who runs autotune as root is not known: {name}={value[:40]!r} names no account",
            hint=f"run autotune as that user, or, to run the command as root, unset {name}",
        ) from error
    return Identity(account.pw_uid, account.pw_gid, tuple(os.getgrouplist(account.pw_name, account.pw_gid)))


class LocalMachine(Executor):
    """The host: runs commands and switches schedulers right here."""

    def __init__(
        self, place: Place, *, why: str, libbpf: str | None, headers: str | None, lease_s: float = LEASE_S
    ) -> None:
        super().__init__(place, libbpf=libbpf, lease_s=lease_s)
        self._info = describe_machine("host", why, "none")
        self._headers = headers

    @property
    def info(self) -> MachineInfo:
        return self._info

    @property
    def generation(self) -> int:
        return 0

    @property
    def headers(self) -> str | None:
        return self._headers

    def sample(self) -> Sample:
        """Sample the machine: memory through psutil, which knows how other kernels count it; the rest from /proc, as in
        a VM, where only the standard library is available."""
        import psutil

        memory = psutil.virtual_memory()
        used_bytes = memory.total - memory.available
        return replace(super().sample(), memory_used_bytes=used_bytes, memory_total_bytes=memory.total)
