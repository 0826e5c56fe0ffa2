# SPDX-License-Identifier: MIT
"""The host as a machine: its own kernel has sched_ext, and we may use it."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Mapping
from dataclasses import replace

from autotune.deadline import Deadline
from autotune.errors import PrivilegeError
from autotune.machine.base import Place
from autotune.machine.executor import Executor, describe_machine
from autotune.records import Identity, MachineInfo, Sample
from autotune.schedext.holding.client import LEASE_S, SchedulerHolder

_INVOKERS = ("SUDO_UID", "SUDO_USER", "DOAS_USER", "PKEXEC_UID")
"""Variables in which programs that make somebody root leave the invoking user."""
_LEFT_BY_SUDO = (*_INVOKERS, "SUDO_GID", "SUDO_COMMAND", "SUDO_HOME", "SUDO_TTY")
_XDG_HOMES = ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")


def invoking_identity() -> Identity:
    """Return the invoking user: whoever called sudo, doas or pkexec when autotune runs as root through one of them,
    else the current user. Of several (`doas sudo -E`) the one who is not root counts. Raises PrivilegeError when one
    of them cannot be found: the workload must not run as root instead."""
    named = [name for name in _INVOKERS if os.environ.get(name)] if os.geteuid() == 0 else []
    if not named:
        return Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))
    accounts = [_account(name, os.environ[name]) for name in named]
    account = next((one for one in accounts if one.pw_uid), accounts[0])
    return Identity(account.pw_uid, account.pw_gid, tuple(os.getgrouplist(account.pw_name, account.pw_gid)))


def _account(name: str, value: str) -> pwd.struct_passwd:
    try:
        if name.endswith("_UID"):
            return pwd.getpwuid(int(value) if value.isdecimal() else -1)
        return pwd.getpwnam(value)
    except (KeyError, ValueError, OverflowError) as error:
        raise PrivilegeError(
            f"the user who runs autotune as root is not known: {name}={value[:40]!r} names no account",
            hint=f"run autotune as that user, or, to run the command as root, unset {name}",
        ) from error


def invoking_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that the invoking user would have by hand: sudo and the like leave root's HOME, USER and
    LOGNAME behind, in which a command of that user would fail or write to root's files. Only what is root's is changed:
    what the user kept or set (`sudo -E`, `sudo HOME=...`) stays. Raises PrivilegeError like `invoking_identity`."""
    env = dict(environ)
    if os.geteuid() != 0 or not any(environ.get(name) for name in _INVOKERS):
        return env
    uid = invoking_identity().uid
    with contextlib.suppress(KeyError):
        root, user = pwd.getpwuid(0), pwd.getpwuid(uid)
        for name in _LEFT_BY_SUDO:
            env.pop(name, None)
        if uid:
            _replace_roots(env, root, user)
    return env


def _replace_roots(env: dict[str, str], root: pwd.struct_passwd, user: pwd.struct_passwd) -> None:
    mail = {f"{spool}/{root.pw_name}": f"{spool}/{user.pw_name}" for spool in ("/var/mail", "/var/spool/mail")}
    for name, of_root, of_user in (
        ("HOME", root.pw_dir, user.pw_dir),
        ("USER", root.pw_name, user.pw_name),
        ("LOGNAME", root.pw_name, user.pw_name),
        ("SHELL", root.pw_shell, user.pw_shell),
    ):
        if env.get(name, "") in ("", of_root):
            env[name] = of_user
    if env.get("USERNAME") == root.pw_name:
        env["USERNAME"] = user.pw_name
    if env.get("MAIL") in mail:
        env["MAIL"] = mail[env["MAIL"]]
    for name in _XDG_HOMES:
        if f"{env.get(name, '')}/".startswith(f"{root.pw_dir.rstrip('/')}/"):
            del env[name]
    _replace_runtime_dir(env, user.pw_uid)


def _replace_runtime_dir(env: dict[str, str], uid: int) -> None:
    """The directory for a user's sockets is usable only for its owner."""
    given = env.pop("XDG_RUNTIME_DIR", "")
    found = next((path for path in (given, f"/run/user/{uid}") if path and _owner(path) == uid), None)
    if found is not None:
        env["XDG_RUNTIME_DIR"] = found
    if "/run/user/0/" in env.get("DBUS_SESSION_BUS_ADDRESS", ""):
        del env["DBUS_SESSION_BUS_ADDRESS"]


def _owner(path: str) -> int | None:
    try:
        return os.stat(path).st_uid
    except OSError:
        return None


class LocalMachine(Executor):
    """The host: runs commands and switches schedulers right here. `by_daemon`: a daemon attaches them, whose lease is
    taken at once, so that no other session comes between the baseline and the candidates. Raises BusyError when
    somebody else has it."""

    def __init__(
        self,
        place: Place,
        *,
        why: str,
        libbpf: str | None,
        headers: str | None,
        lease_s: float = LEASE_S,
        deadline: Deadline | None = None,
        by_daemon: bool = False,
    ) -> None:
        def leased() -> SchedulerHolder:
            from autotune.service.leased import LeasedHolder

            return LeasedHolder(lease_s=lease_s, deadline=deadline)

        holding = leased if by_daemon else None
        super().__init__(place, libbpf=libbpf, lease_s=lease_s, deadline=deadline, holding=holding)
        self._info = describe_machine("host", why, "none")
        self._headers = headers
        if by_daemon:
            self._ready_holder()

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
