# SPDX-License-Identifier: MIT
"""The error classes: each error names the stage, what happened and what the user can do.

An error crosses process boundaries (holder, runner, guest) as a small dictionary and arrives as the same
class, so a failure reads alike wherever it began. Only the command line adds a prefix and an exit code.
Standard library only.
"""

from __future__ import annotations

import errno
from typing import Any, ClassVar


class AutotuneError(Exception):
    """Something went wrong and the user should know: `stage`, `message` (what happened), `hint` (what to do).

    `detail` may hold a long text (a verifier log, compiler output) that is shown only on request or in files.
    """

    exit_code: ClassVar[int] = 1
    default_stage: ClassVar[str] = "autotune"

    def __init__(self, message: str, *, hint: str = "", stage: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.stage = stage or self.default_stage
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def to_wire(self) -> dict[str, str]:
        """Return the error as a dictionary that `from_wire` turns back into the same class."""
        return {
            "class": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
            "stage": self.stage,
            "detail": self.detail,
        }


class UsageError(AutotuneError):
    """The request is impossible: unknown name, value out of range, contradictory options."""

    exit_code = 2
    default_stage = "usage"


class WorkloadError(AutotuneError):
    """The workload cannot be measured: it fails, times out or shows no metric under the baseline."""

    exit_code = 3
    default_stage = "baseline"


class SlowerError(AutotuneError):
    """The command has become slower than `--fail-if-slower` allows; everything else is as it should be."""

    exit_code = 5
    default_stage = "comparison"


class NoMachineError(AutotuneError):
    """No machine, host or micro-VM, can run a sched_ext scheduler."""

    exit_code = 4
    default_stage = "machine"


class Interrupted(AutotuneError):
    """The user stopped the session."""

    exit_code = 130
    default_stage = "session"


class PrivilegeError(AutotuneError):
    """Root is needed and cannot be had."""

    default_stage = "privilege"


class BuildError(AutotuneError):
    """A BPF scheduler could not be compiled; `detail` holds the compiler's output."""

    default_stage = "build"


class AttachError(AutotuneError):
    """A scheduler could not be loaded or attached; `detail` holds the verifier's log where there is one."""

    default_stage = "attach"


class DetachError(AutotuneError):
    """A scheduler of ours is still attached, or may be, after it was to be detached: nothing may be measured then."""

    default_stage = "detach"


class NotAttached(AutotuneError):
    """There is nothing to detach: no scheduler was attached, or it went with its holder or its micro-VM."""

    default_stage = "detach"


class BusyError(AutotuneError):
    """The scheduler belongs to somebody else: another autotune, or a sched_ext scheduler we did not start."""

    default_stage = "attach"


class HolderLost(AutotuneError):
    """The holder, the process that keeps the scheduler attached, died."""

    default_stage = "attach"


class LeaseLapsed(HolderLost):
    """autotune was stopped (Ctrl-Z, SIGSTOP, a frozen control group) for longer than its holder waits: the holder has
    detached the scheduler. It may be attached again."""


class RunnerLost(AutotuneError):
    """The process that measures runs died."""

    default_stage = "run"


class MachineFault(RunnerLost):
    """The machine disturbed the run: it slept, was stopped, or was lost and replaced. Nobody else is to blame, and the
    run may be repeated."""


class MachineLost(AutotuneError):
    """The micro-VM died or hangs; the command that was running need not be at fault."""

    default_stage = "machine"


class PlannerError(AutotuneError):
    """The planner cannot go on: no key, no credit, the service cannot be reached."""

    default_stage = "planner"


class FetchError(AutotuneError):
    """A kernel, header or library could not be fetched."""

    default_stage = "vm setup"


def _classes(cls: type[AutotuneError]) -> dict[str, type[AutotuneError]]:
    members = {cls.__name__: cls}
    for sub in cls.__subclasses__():
        members.update(_classes(sub))
    return members


def from_wire(wire: dict[str, Any]) -> AutotuneError:
    """Return the error that `to_wire` described; an unknown class becomes a plain AutotuneError."""
    cls = _classes(AutotuneError).get(str(wire.get("class")), AutotuneError)
    return cls(
        str(wire.get("message", "unknown error")),
        hint=str(wire.get("hint", "")),
        stage=str(wire.get("stage", "")),
        detail=str(wire.get("detail", "")),
    )


# --- errors of others ---

INTERNAL_HINT = "this is a bug in autotune; --debug shows where"

_FULL = (
    "the disk is full",
    "make room where temporary files go (TMPDIR, else /tmp), in your home directory, and where the output goes",
)
_CLOSED = ("a file cannot be used", "change its permissions or those of its directory, or name another")
_NO_PLACE = (
    "a file or directory cannot be used",
    "move away what is in its place, or point HOME, XDG_STATE_HOME, XDG_CACHE_HOME or TMPDIR elsewhere",
)
_LIMIT = (
    "a limit of this shell or system is reached",
    "raise it ('ulimit -a' shows the shell's), or end other programs",
)
_NO_MEMORY = ("there is no memory left", "end other programs, or raise the limit ('ulimit -v')")
_DISK = ("a disk fails", "see the kernel's log (dmesg)")
_NO_BUGS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _CLOSED),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO), _NO_PLACE),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.EFBIG, errno.EAGAIN), _LIMIT),
    errno.ENOMEM: _NO_MEMORY,
    **dict.fromkeys((errno.EIO, errno.ESTALE), _DISK),
}
"""Errors that any system call may meet: what happened, and what to do."""


def is_of_the_system(error: BaseException) -> bool:
    """Return whether an error is about a limit, memory or a disk, and so neither the user's nor the command's fault."""
    return isinstance(error, OSError) and _NO_BUGS.get(error.errno or 0) in (_LIMIT, _NO_MEMORY, _DISK)


def _cannot_start_threads(error: BaseException) -> bool:
    """Return whether the limit on processes is reached; Python has no error of its own for it."""
    return isinstance(error, RuntimeError) and str(error) == "can't start new thread"


def as_ours(error: BaseException) -> AutotuneError:
    """Turn any exception into an AutotuneError: Ctrl-C into Interrupted, what the system refuses (a full disk, a limit)
    into an error about that, all others into bugs."""
    if isinstance(error, AutotuneError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted")
    if isinstance(error, OSError) and error.errno in _NO_BUGS:
        what, hint = _NO_BUGS[error.errno]
        where = f"{error.filename}: " if error.filename else ""
        return AutotuneError(f"{what}: {where}{error.strerror}", hint=hint)
    if isinstance(error, MemoryError):
        return AutotuneError(_NO_MEMORY[0], hint=_NO_MEMORY[1])
    if _cannot_start_threads(error):
        return AutotuneError(f"{_LIMIT[0]}: {error}", hint=_LIMIT[1])
    return AutotuneError(f"{type(error).__name__}: {error}", hint=INTERNAL_HINT, stage="internal")
