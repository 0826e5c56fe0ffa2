# SPDX-License-Identifier: MIT
"""The process of the job that runs now: started as its user, bounded in time, ended with all of its group.

Never as root: a job of root is refused before it is queued, and again here. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from autotune.errors import PrivilegeError
from autotune.records import Identity
from autotune.service.jobs import Job

LONGEST_S = 24 * 3600.0
"""How long a job may run."""
STEPS = ((signal.SIGINT, 30.0), (signal.SIGTERM, 30.0), (signal.SIGKILL, 10.0))
"""The signals that end one, and how long each may take: a session restores the machine and writes its report."""
PROGRAM = os.path.join(os.path.dirname(os.path.realpath(__file__)), "session.py")
_NOT_SET = 0xFFFFFFFF
"""As a user or group number, 'leave it as it is' for setresuid: nobody is called so."""


def refuse_root(identity: Identity) -> None:
    """Raise PrivilegeError for a session that would run as root."""
    if identity.uid == 0 or _NOT_SET in (identity.uid, identity.gid):
        raise PrivilegeError(
            "the daemon runs no session as root", hint="submit it as yourself, or use 'autotune cc'", stage="daemon"
        )


def argv_of(job: Job) -> list[str]:
    return [sys.executable, "-I", PROGRAM, str(os.getpid()), job.cwd, *job.words]


class JobProcess:
    """A job's process. `output` is the descriptor of what it prints, `pidfd` becomes readable when it ends. Start it in
    the main thread: it ends when the thread that started it does. Raises OSError, PrivilegeError, ValueError."""

    def __init__(self, job: Job, now: Callable[[], float] = time.monotonic) -> None:
        self.job = job
        self._now = now
        self.started_s = now()
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            argv_of(job),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=job.env,
            cwd="/",
            start_new_session=True,
            **_as_user(job.owner),
        )
        assert self._process.stdout is not None
        self.output = self._process.stdout.fileno()
        os.set_blocking(self.output, False)
        self.pidfd = os.pidfd_open(self._process.pid)
        self.why_ended = ""
        """Why we end it; empty while nobody does."""
        self._step = -1
        self._next_s = self.started_s + LONGEST_S

    @property
    def pid(self) -> int:
        """Number of the process, which is that of its session too."""
        return self._process.pid

    def read(self) -> bytes:
        """Return what it printed; empty when there is nothing now, or nothing more."""
        try:
            return os.read(self.output, 1 << 16)
        except (BlockingIOError, OSError):
            return b""

    def end(self, why: str) -> None:
        """Begin to end it; again, for another reason, does nothing."""
        if not self.why_ended:
            self.why_ended = why
            self._advance()

    def left_s(self) -> float:
        """Return the time until `tick` has to be called."""
        return max(0.0, self._next_s - self._now())

    def tick(self) -> None:
        """Do what is due: end it once it took too long, or by a stronger signal."""
        if self._now() < self._next_s:
            return
        if self.why_ended:
            self._advance()
        else:
            self.end(f"it took longer than {LONGEST_S / 3600:g} h")

    def _advance(self) -> None:
        self._step = min(self._step + 1, len(STEPS) - 1)
        number, limit_s = STEPS[self._step]
        self._next_s = self._now() + limit_s
        if number == signal.SIGKILL:
            self._kill_group()
            return
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.pidfd, number)

    def has_ended(self) -> bool:
        return os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def reap(self) -> int:
        """End what is left of its group, and return its exit code, 128 + N for signal N."""
        self._kill_group()  # before it is reaped: from then on the number may be another's
        code = self._process.wait()
        os.close(self.pidfd)
        return code if code >= 0 else 128 - code

    def close_output(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _kill_group(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)


def _as_user(identity: Identity) -> dict[str, Any]:
    """Return how a process becomes the user. Raises PrivilegeError for root, and where we are another user."""
    refuse_root(identity)
    if os.geteuid() != 0:
        if identity.uid != os.geteuid():
            raise PrivilegeError(f"only root can run a session of user {identity.uid}", stage="daemon")
        return {}
    return {"user": identity.uid, "group": identity.gid, "extra_groups": groups_of(identity)}


def groups_of(identity: Identity) -> list[int]:
    """Return the supplementary groups: those of the account now, else those that the submitter had."""
    try:
        account = pwd.getpwuid(identity.uid)
        found = os.getgrouplist(account.pw_name, identity.gid)
    except (KeyError, OSError):
        found = list(identity.groups)
    return sorted(set(found))


def account_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
