# SPDX-License-Identifier: MIT
"""Runs commands and switches schedulers on the machine it is on: the host, or the inside of a micro-VM.

`measure` shows the safety order of a measured run: look at the kernel, run, look again, compare. The runner (as the
user) and the holder (as root) are processes of their own, started on first use; both live on a pipe from here, so
that they and all that they own go when this process goes. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from autotune.deadline import Deadline
from autotune.errors import AutotuneError, HolderLost, MachineFault, NotAttached, RunnerLost
from autotune.machine.base import OutputHandler, Place
from autotune.machine.pauses import PauseWatch
from autotune.machine.traits import cpu_model, topology, traits
from autotune.measure import surroundings
from autotune.measure.bystander import Bystander
from autotune.measure.client import PristineSpec, Runner
from autotune.measure.counters import sample, snapshot
from autotune.process import Message
from autotune.records import (
    Acceleration,
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
from autotune.schedext import kernel
from autotune.schedext.evidence import EvidenceTaker
from autotune.schedext.holding.client import LEASE_S, HolderClient, SchedulerHolder

if TYPE_CHECKING:
    from autotune import durable


class Executor:
    """Runs commands and switches schedulers on one machine. `libbpf` is a library file to prefer over the system's;
    `scratch` a directory for the overlays of pristine runs (None: a temporary one); `guarded` refuses generated
    schedulers without a seal, and leases what is attached for `lease_s`; no switch is waited for longer than `deadline`
    allows (`HolderClient`). `sees_others` looks for what other processes do meanwhile: not inside a micro-VM, where
    there are none. `holding` makes what attaches in place of a holder of our own."""

    def __init__(
        self,
        place: Place,
        *,
        libbpf: str | None = None,
        scratch: str | None = None,
        guarded: bool = True,
        lease_s: float = LEASE_S,
        sees_others: bool = True,
        deadline: Deadline | None = None,
        holding: Callable[[], SchedulerHolder] | None = None,
    ) -> None:
        self._sees_others = sees_others
        self._guarded = guarded
        self._lease_s = lease_s
        self._deadline = deadline
        self._place = place
        self._libbpf = libbpf
        self._scratch = scratch
        self._own_scratch: durable.Scratch | None = None
        self._runner: Runner | None = None
        self._outer: Runner | None = None
        """Runs setup and cleanup, below the disposable files, and keeps what setup left running."""
        self._holder: SchedulerHolder | None = None
        self._holding = holding

    # --- commands ---

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        if spec.stage not in ("setup", "cleanup"):
            return self._run(self._ready_runner(), spec, on_output)
        self._close_runner()
        if self._outer is None:
            self._outer = Runner(self._place.identity)
        try:
            return self._outer.run(spec, on_output)
        except RunnerLost:
            self._close_outer()
            raise

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        runner = self._ready_runner()
        taker = EvidenceTaker(self._holder)
        taker.begin(ops)
        pauses = PauseWatch()
        around = surroundings.read(processes=self._sees_others)
        bystander = Bystander(probe=spec.probe)
        bystander.begin()
        before, counted = snapshot(), {} if ops is None else kernel.read_events()
        try:
            run = self._run(runner, spec, on_output)
        finally:
            side = bystander.end()
        after, events = snapshot(), {} if ops is None else kernel.events_between(counted, kernel.read_events())
        seen = surroundings.between(around, surroundings.read(processes=self._sees_others))
        problem = pauses.problem()
        if problem is not None:
            raise MachineFault(problem)
        return Measurement(run, taker.finish(), before, after, side, seen, events)

    def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> Watched:
        from autotune.observe.client import ProbeClient  # once a session at most, and starting is slow under emulation

        runner = self._ready_runner()
        with ProbeClient(
            probe, runner.pid, libbpf=self._libbpf, guarded=self._guarded, deadline=self._deadline
        ) as client:
            run = self._run(runner, spec, on_output)
            return Watched(run, client.end())

    def fresh(self) -> None:
        if self._place.pristine:
            self._close_runner()

    def _run(self, runner: Runner, spec: RunSpec, on_output: OutputHandler | None) -> Run:
        """Run a command. Raises RunnerLost when the runner died; the next command gets another."""
        try:
            return runner.run(spec, on_output)
        except RunnerLost:
            self._close_runner()
            raise

    def _ready_runner(self) -> Runner:
        """Return the runner, or a new one if it died. Raises RunnerLost if the files that commands wrote died with it:
        a pristine run must not be measured without what its prepare command made."""
        if self._runner is not None and not self._runner.alive:
            self._close_runner()
            if self._place.pristine:
                raise RunnerLost("the process that measures runs died, and the files of the run with it")
        if self._runner is None:
            pristine = PristineSpec(self._place.cwd, self._scratch_dir()) if self._place.pristine else None
            self._runner = Runner(self._place.identity, pristine=pristine)
        return self._runner

    def _scratch_dir(self) -> str:
        if self._scratch is not None:
            return self._scratch
        if self._own_scratch is None:
            import tempfile  # here, not above: starting is slow under emulation

            from autotune import durable

            # On disk rather than in memory: a build tree may be large.
            parent = "/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir()
            owner = (self._place.identity.uid, self._place.identity.gid)
            self._own_scratch = durable.Scratch(Path(parent), "autotune-pristine", owner)
        return str(self._own_scratch.path)

    def _close_runner(self) -> None:
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    def _close_outer(self) -> None:
        outer, self._outer = self._outer, None
        if outer is not None:
            outer.close()

    # --- schedulers ---

    def attach(self, spec: AttachSpec) -> Attachment:
        try:
            return self._ready_holder().attach(spec)
        except HolderLost:
            self._drop_holder()
            raise

    def _ready_holder(self) -> SchedulerHolder:
        if self._holder is None and self._holding is not None:
            self._holder = self._holding()
        if self._holder is None:
            self._holder = HolderClient(
                libbpf=self._libbpf, guarded=self._guarded, lease_s=self._lease_s, deadline=self._deadline
            )
        return self._holder

    def detach(self) -> Detachment:
        if self._holder is None:
            raise NotAttached("no scheduler is attached")
        try:
            return self._holder.detach()
        except HolderLost:
            self._drop_holder()
            raise

    def state(self) -> KernelState:
        """Return the kernel's sched_ext state. Raises HolderLost, or DetachError, when the holder of an attached
        scheduler is dead."""
        if self._holder is not None and self._holder.attachment is not None:
            try:
                self._holder.check()
            except AutotuneError:
                self._drop_holder()
                raise
        return kernel.read_state()

    def sample(self) -> Sample:
        return Sample(**sample(), state=kernel.read_state())  # type: ignore[arg-type]

    def _drop_holder(self) -> None:
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.close()

    def release(self) -> None:
        """Detach for good. Raises DetachError when the kernel is not back on its own scheduler."""
        self._drop_holder()

    def close(self) -> None:
        """Detach first: whatever else fails, the kernel is then back on its own scheduler. Raises DetachError when it
        is not."""
        try:
            self.release()
        finally:
            self._close_rest()

    def _close_rest(self) -> None:
        self._close_runner()
        self._close_outer()
        if self._own_scratch is not None:
            self._own_scratch.close()
            self._own_scratch = None


def describe_machine(kind: str, why: str, acceleration: Acceleration) -> MachineInfo:
    """Describe the machine that this process is on."""
    return MachineInfo(
        kind="vm" if kind == "vm" else "host",
        why=why,
        kernel=os.uname().release,
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        cpu_model=cpu_model(),
        acceleration=acceleration,
        topology=topology(),
        traits=traits(),
    )


def wire_output(event: Message) -> tuple[str, bytes]:
    """Return stream and bytes of an output event as the runner sends it."""
    import base64

    return str(event["output"]), base64.b64decode(event["data"])
