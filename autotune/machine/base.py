# SPDX-License-Identifier: MIT
"""The Machine protocol: what the tuner needs from a place where runs happen, be it the host or a micro-VM.

Standard library only, since the guest agent imports it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from autotune.frozen import dataclass
from autotune.records import (
    Attachment,
    AttachSpec,
    Detachment,
    Identity,
    KernelState,
    MachineInfo,
    Measurement,
    ProbeSpec,
    Run,
    RunSpec,
    Sample,
    Watched,
)

OutputHandler: TypeAlias = Callable[[str, bytes], None]
"""Gets pieces of output as they come: `stdout` or `stderr`, and the bytes."""


@dataclass(frozen=True)
class Place:
    """Where and as which user a machine runs commands: fixed for a session."""

    cwd: str
    pristine: bool
    identity: Identity


class Machine(Protocol):
    """Runs commands and switches schedulers. Errors are those of `autotune.errors`: `MachineLost` when the machine
    itself is gone, `RunnerLost` and `HolderLost` for its helpers. A command that fails is no error: its `Run` shows
    that."""

    @property
    def info(self) -> MachineInfo: ...

    @property
    def headers(self) -> str | None:
        """Directory with `linux/bpf/vmlinux.h` for this machine's kernel; None: use the system's."""

    @property
    def generation(self) -> int:
        """Count how often the machine was replaced by a new one, on which nothing of the earlier commands is left."""

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        """Run a command unmeasured. `spec.stage` says what for: setup and cleanup work on the directory itself, all
        others in a pristine session on the disposable files of the measured run that follows. What setup leaves running
        is ended by cleanup, what prepare leaves by the next run."""

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        """Measure a command, with evidence that `ops` (None: the kernel's own scheduler) was in charge."""

    def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> Watched:
        """Run a command while a probe watches its tasks, which costs time. Raises AttachError when the kernel refuses
        the probe, PrivilegeError without root."""

    def fresh(self) -> None:
        """Discard what commands wrote, where the session is pristine; otherwise do nothing."""

    def attach(self, spec: AttachSpec) -> Attachment:
        """Attach a scheduler and confirm it. Raises AttachError, BusyError, PrivilegeError."""

    def detach(self) -> Detachment:
        """Detach the scheduler and confirm that the kernel is back on its own. Raises NotAttached when there is nothing
        to detach, also after its helper or its machine was lost; DetachError when the kernel is not back."""

    def state(self) -> KernelState:
        """Return the kernel's sched_ext state. Raises HolderLost, or DetachError, when the holder of an attached
        scheduler is dead."""

    def sample(self) -> Sample:
        """Sample what the machine is doing right now."""

    def release(self) -> None:
        """Detach whatever is attached, for good; commands may still be run where nothing hangs. Raises only
        DetachError."""

    def close(self) -> None:
        """Close the machine and restore what it changed; may be called again. Raises only DetachError: a scheduler is
        still attached."""
