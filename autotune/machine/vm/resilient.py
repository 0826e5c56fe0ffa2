# SPDX-License-Identifier: MIT
"""A micro-VM that is booted again when it is lost, so that a session survives it.

Emulated kernels die now and then for reasons that have nothing to do with the scheduler or the command: under QEMU 7.2
with several emulated CPUs a kernel that patches its own code, as it does at boot and at every switch of the scheduler,
sometimes trips over its own breakpoint ("Oops: int3"). The run in progress is lost and reported as lost; it may be
repeated. After too many losses the session ends with what it has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from autotune.deadline import Deadline, unlimited
from autotune.errors import AutotuneError, MachineFault, MachineLost, NotAttached
from autotune.machine.base import OutputHandler
from autotune.machine.vm.microvm import MicroVM
from autotune.process import Message
from autotune.records import (
    Attachment,
    AttachSpec,
    Detachment,
    KernelState,
    MachineInfo,
    Measurement,
    ProbeSpec,
    Run,
    RunSpec,
    Sample,
    Watched,
)

MAX_REBOOTS = 8
T = TypeVar("T")


class ResilientVM:
    """The Machine protocol over one micro-VM after another. `notify` gets a sentence about each loss. After the
    `deadline` no other is booted."""

    def __init__(
        self, boot: Callable[[], MicroVM], notify: Callable[[str], None], deadline: Deadline | None = None
    ) -> None:
        self._deadline = deadline or unlimited()
        self._boot = boot
        self._notify = notify
        self._vm = boot()
        self._info = self._vm.info
        self._attached = False
        self._closed = False
        self.generation = 0

    @property
    def info(self) -> MachineInfo:
        return self._info

    @property
    def headers(self) -> str | None:
        return self._vm.headers

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        return self._try(lambda vm: vm.run(spec, on_output))

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        return self._try(lambda vm: vm.measure(spec, ops, on_output))

    def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> Watched:
        return self._try(lambda vm: vm.watch(spec, probe, on_output))

    def fresh(self) -> None:
        self._try(lambda vm: vm.fresh())

    def attach(self, spec: AttachSpec) -> Attachment:
        attachment = self._try(lambda vm: vm.attach(spec))
        self._attached = True
        return attachment

    def detach(self) -> Detachment:
        if not self._attached:
            raise NotAttached("no scheduler is attached, or it went with its micro-VM")
        self._attached = False
        return self._try(lambda vm: vm.detach())

    def state(self) -> KernelState:
        return self._try(lambda vm: vm.state())

    def sample(self) -> Sample:
        return self._try(lambda vm: vm.sample())

    def keep_writes(self) -> Message:
        return self._vm.keep_writes()

    def release(self) -> None:
        """Detach inside. From now on a VM that is lost is not replaced: the host has its own scheduler anyway."""
        self._closed, self._attached = True, False
        try:
            self._vm.release()
        except AutotuneError:
            self._vm.close()

    def add_to_memory(self, address: int, amount: int) -> None:
        self._vm.add_to_memory(address, amount)

    def close(self) -> None:
        self._closed, self._attached = True, False
        self._vm.close()

    def _try(self, request: Callable[[MicroVM], T]) -> T:
        """Send a request; when the VM is lost, boot another and raise MachineFault: the request was not carried out."""
        try:
            return request(self._vm)
        except MachineLost as error:
            if self._closed or self.generation >= MAX_REBOOTS or self._deadline.is_over:
                raise
            self._vm.close()
            self._attached = False
            self._notify(f"{error.message}; booting another")
            self._vm = self._boot()
            self.generation += 1
            raise MachineFault(f"{error.message}; another was booted") from error
