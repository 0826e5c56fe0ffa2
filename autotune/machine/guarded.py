# SPDX-License-Identifier: MIT
"""A host with safeguards for generated schedulers: a canary before the first run, a watch during each, and none after
three strikes (`canary`, `strikes`). Everything else goes straight to the host."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from autotune import canary
from autotune.canary import Breach, Breaker, CanaryPlan, Look, Senses, Watch
from autotune.canary.strikes import Strikes
from autotune.errors import AttachError
from autotune.machine.base import Machine, OutputHandler
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
from autotune.schedext.evidence import exit_text

Notify = Callable[[str], None]


class GuardedMachine:
    """The host as a machine with these safeguards. `notify` gets what takes time, and why a scheduler was detached."""

    def __init__(self, host: Machine, notify: Notify, strikes: Strikes | None = None) -> None:
        self._host = host
        self._notify = notify
        self._strikes = strikes or Strikes()
        self._guard: _HostWatch | None = None
        self._before: Look | None = None
        """Wake-up latency of the last baseline run. Once a generated scheduler was attached, baselines are watched too:
        late wake-ups under EEVDF are no fault, and all runs bear the same cost."""

    # --- schedulers ---

    def attach(self, spec: AttachSpec) -> Attachment:
        """Attach. Raises AttachError also for a generated scheduler that is barred or did not pass its canary."""
        if not spec.generated:
            return self._host.attach(spec)
        digest = spec.object_sha256 or ""
        self._refuse_barred(spec, digest)
        if not self._strikes.passed(digest, os.uname().release):
            self._canary(spec, digest)
        guard = _HostWatch(spec, self._host, self._before or Look())
        self._before = self._before or Look()
        attachment = guard.attach()
        self._guard = guard
        return attachment

    def _refuse_barred(self, spec: AttachSpec, digest: str) -> None:
        if self._strikes.is_barred(digest):
            last = self._strikes.reasons(digest)[-1].reason
            raise AttachError(
                f"{spec.ops} was detached three times on this host, last for: {last}",
                hint="remove it, or write a better one",
                stage="canary",
            )

    def _canary(self, spec: AttachSpec, digest: str) -> None:
        self._notify(f"{spec.ops} runs as a canary for {canary.WATCH_S:g} s, since it is new on this host")
        outcome = canary.run(
            lambda partial: self._host.attach(_in_mode(spec, partial)),
            self._host.detach,
            CanaryPlan(spec.ops, can_be_partial=spec.can_be_partial),
        )
        if outcome.passed:
            self._strikes.remember_passed(digest, os.uname().release)
            return
        if outcome.fault:
            self._strikes.strike(digest, outcome.reason, os.uname().release)
        raise AttachError(f"{spec.ops} did not pass its canary: {outcome.reason}", stage="canary")

    def detach(self) -> Detachment:
        guard, self._guard = self._guard, None
        return self._host.detach() if guard is None else guard.detach()

    # --- commands ---

    def measure(self, spec: RunSpec, ops: str | None, on_output: OutputHandler | None = None) -> Measurement:
        """Measure a run. A generated scheduler that exceeds a bound is detached at once; the run's evidence has the
        reason."""
        if ops is None and self._before is not None:
            return self._baseline(spec, on_output)
        measured = self._host.measure(spec, ops, on_output)
        guard = self._guard
        if guard is None or (breach := guard.breach) is None:
            return measured
        problem, is_fault = guard.ending(breach)
        if is_fault:
            self._strikes.strike(guard.spec.object_sha256 or "", problem, os.uname().release)
        return replace(measured, evidence=replace(measured.evidence, problem=problem))

    def _baseline(self, spec: RunSpec, on_output: OutputHandler | None) -> Measurement:
        watch = Watch(None, Look(), None, bounds=canary.RUN_BOUNDS)
        try:
            watch.start()
            return self._host.measure(spec, None, on_output)
        finally:
            self._before = watch.stop().as_look()

    def run(self, spec: RunSpec, on_output: OutputHandler | None = None) -> Run:
        return self._host.run(spec, on_output)

    def watch(self, spec: RunSpec, probe: ProbeSpec, on_output: OutputHandler | None = None) -> Watched:
        return self._host.watch(spec, probe, on_output)

    # --- the rest is the host's ---

    @property
    def info(self) -> MachineInfo:
        return self._host.info

    @property
    def headers(self) -> str | None:
        return self._host.headers

    @property
    def generation(self) -> int:
        return self._host.generation

    def fresh(self) -> None:
        self._host.fresh()

    def state(self) -> KernelState:
        return self._host.state()

    def sample(self) -> Sample:
        return self._host.sample()

    def release(self) -> None:
        self._stop_guard()
        self._host.release()

    def close(self) -> None:
        self._stop_guard()
        self._host.close()

    def _stop_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.stop()


class _HostWatch:
    """The watch over one attached scheduler, from before it is attached until it is detached."""

    def __init__(self, spec: AttachSpec, host: Machine, before: Look) -> None:
        self.spec = spec
        self._host = host
        self._breaker = Breaker(host.detach, spec.ops, Senses())
        self._watch = Watch(spec.ops, before, self._breaker, bounds=canary.RUN_BOUNDS, partial=spec.partial)

    @property
    def breach(self) -> Breach | None:
        return self._watch.breach

    def attach(self) -> Attachment:
        self._breaker.start()
        try:
            self._watch.start()
            attachment = self._host.attach(self.spec)
        except BaseException:
            self.stop()
            raise
        self._breaker.attached()
        return attachment

    def ending(self, breach: Breach) -> tuple[str, bool]:
        """Return why it was detached, with the kernel's own reason if it was ejected, and whether the scheduler is to
        blame."""
        self._breaker.finish()
        detachment = self._breaker.detachment
        gone = detachment.exit if detachment is not None else None
        is_fault = canary.is_fault(breach, gone)
        if gone is not None and gone.is_error:
            return exit_text(gone), is_fault
        return f"detached by the watch: {breach.text()}", is_fault

    def detach(self) -> Detachment:
        """Detach, unless the watch did; either way with the kernel's reason. Raises what detaching raised."""
        self._breaker.finish()
        self._watch.stop()
        if self._breaker.error is not None:
            raise self._breaker.error
        assert self._breaker.detachment is not None
        return self._breaker.detachment

    def stop(self) -> None:
        """End the watch: nothing is attached, or it is detached with the host's holder."""
        self._breaker.cancel()
        self._watch.stop()


def _in_mode(spec: AttachSpec, partial: bool) -> AttachSpec:
    """Return the same scheduler in partial mode, or as it was given."""
    return replace(spec, partial=True, rodata={**spec.rodata, "partial": True}) if partial else spec
